"""Ternary weights with a threshold at half their mean magnitude: those of language models with 1.58 bits a weight."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, by_gate, by_row


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Bitnet(quantizers.Quantizer):
    r"""$m\,\mathrm{clip}(\mathrm{round}(w / m), \pm 1)$ with $m = \max(\mathrm{E}|w|, 10^{-5})$ over a gate's matrix.

    Nearest: zero where $|w| \le m / 2$, as halves are rounded to even, else the sign. Stochastic: unbiased
    between neighbours, which the source does not have. Gradient: straight-through, no mask, none through $m$.

    Source: ma2024era, known to us from a summary and from other people's implementations, which agree. The paper
    divides by $\mathrm{E}|w|$ plus a small number where the implementations bound it from below, and prints
    $-1, 0, 1$ where they multiply by $m$. Its networks normalize the input of every product by `rms` and round
    it to eight bits.
    """

    reference: ClassVar[str] = "ma2024era"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    ties: ClassVar[str] = "toward"
    fixed: ClassVar[bool] = False
    breaks: ClassVar[tuple[str, ...]] = ("idempotence",)  # zeros make the mean smaller

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The mean magnitude of each gate's weights."""
        return by_row(by_gate(w, site).abs().mean(1, keepdim=True).clamp(min=1e-5), w)
