"""One bit a weight, scaled so that the loss suffers least where it curves most."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, by_gate, by_row, curvature, positive


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Lab(quantizers.Quantizer):
    r"""$\{-\alpha, +\alpha\}$ with $\alpha = \|d \odot w\|_1 / \|d\|_1$, $d$ the curvature of the loss.

    Nearest: $+\alpha$ where $w \ge 0$. This $\alpha$ and this sign minimize $\sum_i d_i (w_i - \alpha b_i)^2$ over a
    gate's matrix. $d = \sqrt v + 10^{-8}$ with Adam's second moment $v$ as the last update left it, and the same
    for all weights before the first. Stochastic: unbiased between the two, which the source does not have.
    Gradient: straight-through, no mask.

    Source: hou2017loss, code and paper agree. The learning rate and Adam's correction of its start, which the
    paper has in $d$ and the code has not, cancel. The source clips the masters to $[-1, 1]$ after every update
    and this does not.
    """

    reference: ClassVar[str] = "hou2017loss"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    fixed: ClassVar[bool] = False
    curved: ClassVar[bool] = True
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent")

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The mean magnitude of each gate's weights, weighted by curvature."""
        d = curvature(w, site)
        alpha = (d * by_gate(w, site).abs()).sum(1, keepdim=True) / d.sum(1, keepdim=True)
        return by_row(positive(alpha), w)
