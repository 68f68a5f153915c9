"""What every loop does first in a step."""

from lowbit.kernels.loops.compiled import inner, no_type_check
from lowbit.kernels.loops.norms import affine, prepare
from lowbit.kernels.loops.products import multiply


@inner
@no_type_check
def advance(t, first, moved, h, w, a, own, table, rows, norm_h, norm_x, scale_h, offset_h, scale_x, offset_x):
    """The product of `h`, which is zero unless it `moved`, and how both norms scale and shift products in step `t`."""
    if moved:
        multiply(h, w, a)
    else:
        a.fill(0)
    prepare(norm_h, a, own, t)
    prepare(norm_x, table, rows, t)
    affine(norm_h, first, t, scale_h, offset_h)
    affine(norm_x, first, t, scale_x, offset_x)
