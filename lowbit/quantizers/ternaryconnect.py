"""Two bits a weight with B's Glorot scale, twice A's and counting one gate."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, glorot


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Ternaryconnect(quantizers.Quantizer):
    r"""$\{-W_0, 0, +W_0\}$ with $W_0 = \sqrt{6 / (d + n)}$ for $d$ inputs and $n$ units.

    Nearest: $+W_0$ where $w > W_0/2$, $-W_0$ where $w \le -W_0/2$, else zero. Stochastic: the sign with
    probability $\mathrm{clip}(|w| / W_0, 0, 1)$. Gradient: straight-through.

    Source: lin2016neural as B uses it. B's paper prints values $\pm 1$ with probability $|2w|$; its code
    scales by $W_0$, and the ratio of threshold to level is one half in both. This is the code's form.
    """

    reference: ClassVar[str] = "lin2016neural"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    ties: ClassVar[str] = "down"

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The Glorot bound of one gate's matrix."""
        return w.new_full((1, 1), glorot(site.inputs, site.units))
