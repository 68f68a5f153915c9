"""What every loop does first in a step."""

from lowbit.layers.loops.native.norms import affine, prepare
from lowbit.layers.loops.native.products import multiply


def advance(t, first, moved, h, w, a, own, table, rows, norm_h, norm_x):
    """The product of `h`, which is zero unless it `moved`, and how both norms scale and shift products in step `t`."""
    if moved:
        multiply(h, w, a, t)
    else:
        a[:] = 0
    prepare(norm_h, a, own, t)
    prepare(norm_x, table, rows, t)
    affine(norm_h, first, t)
    affine(norm_x, first, t)
