"""Plain loops over floats, which the compiler may vectorize."""

import numba
import numpy as np

from lowbit.inference.native.emit import reordered
from lowbit.inference.native.vectors import pointer, read


@reordered
def _sum(weights, q):
    total = np.float64(0)
    for k in range(len(q)):
        total += np.float64(weights[k]) * np.float64(q[k])
    return total


def multiply(sizes, weights, x, buffer, y):
    """Row by row, each sum rounded to float32 once."""
    rows, cols = read(sizes), read(sizes + 8)
    w = numba.carray(pointer(weights), (rows, cols), np.float32)
    q = numba.carray(pointer(x), cols, np.int16)
    sums = numba.carray(pointer(y), rows, np.float32)
    for r in range(rows):
        sums[r] = np.float32(_sum(w[r], q))
