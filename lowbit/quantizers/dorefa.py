"""Weights of k bits after a squashing by tanh; a zero is not among them."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, by_gate, by_row, positive
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Dorefa(quantizers.Quantizer):
    r"""$2\,\mathrm{round}_k(\frac12 u + \frac12) - 1$ with $u = \tanh w / \max|\tanh w|$ over a gate's matrix.

    $\mathrm{round}_k(x) = \mathrm{round}((2^k - 1)\,x) / (2^k - 1)$, so the values are the $2^k$ odd multiples of
    $1 / (2^k - 1)$ in $[-1, 1]$, whatever the size of the weights. Nearest: as above, halves up. Stochastic:
    unbiased in $u$, which the source does not have. Gradient: that of $u$, also through the maximum.

    One bit is a case of its own: $\mathrm{E}|w|\,\mathrm{sign}(w)$ with gradient 1 and no tanh; $+$ where $w = 0$.

    Source: zhou2016dorefa, its code, which has the gradient through the maximum from automatic differentiation;
    whether the paper means it is not known to us. The code rounds halves to even and its sign of zero is zero.
    """

    reference: ClassVar[str] = "zhou2016dorefa"
    breaks: ClassVar[tuple[str, ...]] = ("idempotence",)
    bits: int = 3  # a weight

    def __post_init__(self):
        bounded(self, "quantizer 'dorefa'", bits=(1, 8))

    @property
    def levels(self) -> tuple[float, ...]:
        """Evenly spaced from -1 to 1."""
        top = 2**self.bits - 1
        return tuple(i / top for i in range(-top, top + 1, 2))

    @property
    def fixed(self) -> bool:
        """With more than one bit."""
        return self.bits > 1

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """1; with one bit, the mean magnitude of each gate's weights."""
        if self.fixed:
            return super().scale(w, site)
        return by_row(positive(by_gate(w, site).abs().mean(1, keepdim=True)), w)

    def normalize(
        self, w: Float[Tensor, "rows cols"], scale: Float[Tensor, "#rows #cols"], site: Site
    ) -> Float[Tensor, "rows cols"]:
        """The tanh over its largest magnitude in each gate."""
        if not self.fixed:
            return super().normalize(w, scale, site)
        squashed = by_gate(w.tanh(), site)
        return (squashed / positive(squashed.abs().amax(1, keepdim=True))).reshape(w.shape)

    def surrogate(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "rows cols"]:
        """The normalized weights before rounding; with one bit, the weights."""
        return self.normalize(w, self.scale(w, site), site) if self.fixed else w
