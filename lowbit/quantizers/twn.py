"""Ternary weights whose cut and scale follow the weights of each gate."""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Fit, Site, by_gate, by_row, positive
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Twn(quantizers.Quantizer):
    r"""$\{-\alpha, 0, +\alpha\}$ with $\Delta = 0.7\,\mathrm{E}|w|$ and $\alpha = \mathrm{E}(|w| : |w| > \Delta)$.

    Nearest: zero where $|w| \le \Delta$, else the sign; the expectations run over one gate's matrix. Stochastic:
    unbiased between neighbours, which the source does not have. Gradient: straight-through.

    Source: li2016ternary; $\alpha$ is the least-squares scale for its $\Delta$, and $\Delta$ an approximation to
    the least-squares cut. A compares with it in its character-level table.
    """

    reference: ClassVar[str] = "li2016ternary"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    ties: ClassVar[str] = "toward"
    fixed: ClassVar[bool] = False
    ratio: float = 0.7  # of the mean magnitude

    def __post_init__(self):
        bounded(self, "quantizer 'twn'", ratio=(0.001, 0.999))

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The mean magnitude of each gate's weights beyond the cut."""
        return self.fit(w, site).scale

    def fit(self, w: Float[Tensor, "rows cols"], site: Site) -> Fit:
        """The cut and the scale of each gate."""
        size = by_gate(w, site).abs()
        cut = self.ratio * size.mean(1, keepdim=True)
        beyond = size > cut
        alpha = (size * beyond).sum(1, keepdim=True) / beyond.sum(1, keepdim=True).clamp(min=1)
        scale = by_row(positive(alpha), w)
        cut = by_row(cut, w) / scale
        return Fit(scale, w.new_tensor([self.levels]), torch.cat((-cut, cut), dim=1))
