"""The product as it is written: plain loops, which the compiler may vectorize."""

import numba
import numpy as np

from lowbit.inference.native.vectors import pointer


def multiply(sizes, weights, x, buffer, y):
    """Row by row."""
    rows, cols = numba.carray(pointer(sizes), 2, np.int64)
    w = numba.carray(pointer(weights), (rows, cols), np.int8)
    q = numba.carray(pointer(x), cols, np.int16)
    sums = numba.carray(pointer(y), rows, np.int32)
    for r in range(rows):
        total = np.int32(0)
        for k in range(cols):
            total += np.int32(w[r, k]) * np.int32(q[k])
        sums[r] = total
