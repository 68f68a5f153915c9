"""Activations of up to 13 bits as two vectors of bytes, for kernels that multiply bytes."""

import numba
import numpy as np

from lowbit.inference.native.emit import inner
from lowbit.inference.native.vectors import pointer


@inner
def halves(x, cols, split, buffer):
    """Activations as bytes, where `split` the upper part and the six lowest bits; gives their sum."""
    q = numba.carray(pointer(x), cols, np.int16)
    high = numba.carray(pointer(buffer), cols, np.int8)
    low = numba.carray(pointer(buffer + cols + 64), cols, np.int8)
    total = np.int32(0)
    for k in range(cols):
        total += np.int32(q[k])
        high[k] = q[k] >> 6 if split else q[k]
        low[k] = q[k] & 63
    return np.int64(total)
