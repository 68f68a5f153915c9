"""Signed integers of k bits times one scale a gate: the plain baseline between ternary and full precision."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, by_gate, by_row, positive
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Uniform(quantizers.Quantizer):
    r"""$\alpha\, i / m$ for $i = -m \ldots m$ with $m = 2^{k-1} - 1$ and $\alpha = \max|w|$ of a gate's matrix.

    Nearest: $\mathrm{round}(m w / \alpha)$, halves up. Stochastic: unbiased between neighbours. Gradient:
    straight-through.

    Source: jacob2018quantization, symmetric form for weights. Neither paper uses it; it says what a plain k-bit
    integer does where they use one or two.
    """

    reference: ClassVar[str] = "jacob2018quantization"
    fixed: ClassVar[bool] = False
    bits: int = 4  # a weight, the sign among them

    def __post_init__(self):
        bounded(self, "quantizer 'uniform'", bits=(2, 8))

    @property
    def levels(self) -> tuple[float, ...]:
        """Evenly spaced, zero among them."""
        top = 2 ** (self.bits - 1) - 1
        return tuple(i / top for i in range(-top, top + 1))

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The largest magnitude of each gate's weights."""
        return by_row(positive(by_gate(w, site).abs().amax(1, keepdim=True)), w)
