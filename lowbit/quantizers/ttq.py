"""Ternary weights whose positive and negative value are learned."""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Fit, Site, by_gate, by_row, positive
from lowbit.registry import InputError, bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Ttq(quantizers.Quantizer):
    r"""$\{-W_n, 0, +W_p\}$ with learned $W_n$ and $W_p$ for each gate.

    Nearest: $+W_p$ where $w > \Delta$, $-W_n$ where $w < -\Delta$, else zero, with $\Delta = 0.05 \max|w|$ of a gate's
    matrix. Stochastic: unbiased between neighbours, which the source does not have. Gradient: with $g$ that of
    the quantized weights, $W_p g$, $g$ and $W_n g$ to the master weights above, between and below the thresholds,
    $\sum_{w > \Delta} g$ to $W_p$ and $-\sum_{w < -\Delta} g$ to $W_n$; none through $\Delta$.

    Source: zhu2017trained, its code. The paper also divides the weights by their largest magnitude first, as we
    know it from notes on it; the code does not. In the code both factors start at 1 (`start="one"`), where batch
    norms make up for it; here they start at the mean magnitude of the weights that they stand for. A learned
    factor that crosses zero would swap the levels: its magnitude is what is used.
    """

    reference: ClassVar[str] = "zhu2017trained"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    ties: ClassVar[str] = "toward"
    fixed: ClassVar[bool] = False
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent")
    threshold: float = 0.05  # of the largest magnitude
    start: str = "mean"  # or "one": of both factors

    def __post_init__(self):
        bounded(self, "quantizer 'ttq'", threshold=(0.001, 0.999))
        if self.start not in ("mean", "one"):
            raise InputError(f"quantizer 'ttq' has no start {self.start!r}; known: mean, one")

    def factors(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "gates factors"] | None:
        """The negative and the positive factor of each gate."""
        if self.start == "one":
            return w.new_ones(site.gates, 2)
        weights, cut = by_gate(w, site), self._cut(w, site)
        sides = [(side * (side > cut)).sum(1) / (side > cut).sum(1).clamp(min=1) for side in (-weights, weights)]
        return torch.stack(sides, dim=1)

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The mean of the two learned factors of each gate."""
        return by_row(self._values(w, site).mean(1, keepdim=True), w)

    def fit(self, w: Float[Tensor, "rows cols"], site: Site) -> Fit:
        """The learned factors over their mean; the threshold of each gate on either side."""
        values, scale = self._values(w, site), self.scale(w, site)
        below, above = (values / values.mean(1, keepdim=True)).split(1, dim=1)
        book = by_row(torch.cat((-below, torch.zeros_like(below), above), dim=1), w)
        cut = by_row(self._cut(w, site), w) / scale
        return Fit(scale, book, torch.cat((-cut, cut), dim=1))

    def surrogate(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "rows cols"]:
        """Linear in the weights and in the factors, with the slopes that the source gives to each."""
        values, cut = self._values(w, site), by_row(self._cut(w, site), w)
        below, above = by_row(values, w).split(1, dim=1)
        negative, positive = w < -cut, w > cut
        slope = torch.where(positive, above, torch.where(negative, below, 1.0)).detach()
        return slope * w + positive * above - negative * below

    def _cut(self, w: Tensor, site: Site) -> Tensor:
        return self.threshold * by_gate(w, site).detach().abs().amax(1, keepdim=True)

    def _values(self, w: Tensor, site: Site) -> Tensor:
        factors = self.factors(w.detach(), site) if site.factors is None else site.factors
        return positive(factors.abs())
