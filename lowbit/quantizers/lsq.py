"""Signed integers of k bits times a learned step."""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, by_gate, by_row, positive
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Lsq(quantizers.Quantizer):
    r"""$s\,\mathrm{round}(\mathrm{clip}(w / s, -Q_n, Q_p))$ with a learned step $s$.

    For $k$ bits $Q_n = 2^{k-1}$ and $Q_p = 2^{k-1} - 1$. Nearest: as above, halves up; what the source does with
    them is not known to us. Stochastic: unbiased between neighbours, which the
    source does not have. Gradient: to $w$ straight-through where $-Q_n < w / s < Q_p$, else none; to $s$ the sum of
    $\mathrm{round}(w / s) - w / s$ inside, $-Q_n$ below and $Q_p$ above, times $1 / \sqrt{N Q_p}$ for the $N$ weights
    that share the step: those of a gate. Adam divides that factor out again. The step starts at
    $2\,\mathrm{E}|w| / \sqrt{Q_p}$.

    Source: esser2020learned, known to us from other people's code, which agrees. Nothing there keeps the step
    from crossing zero; here $|s|$ takes its place, so that it is turned back. As `levels` are those at scale 1,
    $\alpha = 2^{k-1} s$ and the levels are multiples of $2^{1-k}$ from $-1$ on.
    """

    reference: ClassVar[str] = "esser2020learned"
    fixed: ClassVar[bool] = False
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent")
    bits: int = 3  # a weight, the sign among them

    def __post_init__(self):
        bounded(self, "quantizer 'lsq'", bits=(2, 8))

    @property
    def levels(self) -> tuple[float, ...]:
        """One more below zero than above."""
        return tuple(i / self._below for i in range(-self._below, self._below))

    @property
    def _below(self) -> int:
        return 2 ** (self.bits - 1)

    def factors(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "gates factors"] | None:
        """The step of each gate."""
        return 2 * by_gate(w, site).abs().mean(1, keepdim=True) / math.sqrt(self._below - 1)

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The learned step of each gate, times the integers below zero."""
        return self._below * self._step(w, site)

    def surrogate(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "rows cols"]:
        """Linear in the weights and in the step, with the slopes that the source gives to each."""
        step, (low, high) = self._step(w, site), (-self._below, self._below - 1)
        u = (w / step).detach()
        inside = (low < u) & (u < high)
        slope = torch.where(inside, (u + 0.5).floor() - u, u.clamp(low, high))
        return inside * w + slope * step / math.sqrt(w.numel() / site.gates * high)

    def _step(self, w: Tensor, site: Site) -> Tensor:
        factors = self.factors(w.detach(), site) if site.factors is None else site.factors
        return by_row(positive(factors.abs()), w)
