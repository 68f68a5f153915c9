"""Ternary weights with the threshold and scale of least loss, as far as its curvature tells."""

import dataclasses
import itertools
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Fit, Quantizer, Site, by_gate, by_row, curvature
from lowbit.registry import bounded

ROUNDS = 100  # of an alternation, at most; a dozen is the rule


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Lat(Quantizer):
    r"""$\{-\alpha, 0, +\alpha\}$ so that $\sum_i d_i (w_i - \alpha b_i)^2$ is least over a gate's matrix.

    Nearest: zero where $|w| \le \alpha / 2$, else the sign. $d = \sqrt v + 10^{-8}$ with Adam's second moment $v$,
    the same for all weights before the first update. By default $b$ of that rule and
    $\alpha = \|b \odot d \odot w\|_1 / \|b \odot d\|_1$ alternate until they stay. `exact` takes the best of all
    thresholds between the sorted weights. With `sides=2` positive and negative weights have a scale each, computed from
    their own side. Stochastic: unbiased between neighbours, which the source does not have. Gradient:
    straight-through, no mask.

    Source: hou2018loss, its code: LATa, LATe, LAT2a and LAT2e. Its alternation starts from the signs of the last
    quantized weights and ends after ten rounds; a quantizer here has no memory and starts where the code does at
    its first step, at the threshold $0.7\,\mathrm{E}|w|$ (li2016ternary). The code's scan leaves out the case that no
    weight is zero and falls back on a part of its scale; here it is a case like the others. In LAT2e the code
    picks the negative scale by a sum over the positive side, which we take for a slip and do not follow. The
    source clips the masters to $[-1, 1]$ after every update and this does not.
    """

    reference: ClassVar[str] = "hou2018loss"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    ties: ClassVar[str] = "toward"
    fixed: ClassVar[bool] = False
    curved: ClassVar[bool] = True
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent")
    exact: bool = False
    sides: int = 1  # or 2: a scale for each sign

    def __post_init__(self):
        bounded(self, "quantizer 'lat'", sides=(1, 2))

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """What costs the loss of each gate least; with two sides, the mean of theirs."""
        return self.fit(w, site).scale

    def fit(self, w: Float[Tensor, "rows cols"], site: Site) -> Fit:
        """The scale of each gate, or of each of its sides; thresholds are half of it."""
        weights, d = by_gate(w, site), curvature(w, site)
        if self.sides == 1:
            alpha = by_row(self._alpha(weights.abs(), d), w)
            return Fit(alpha, w.new_tensor([self.levels]), w.new_tensor([self.thresholds]))
        above = by_row(self._alpha(weights.clamp(min=0), d * (weights > 0)), w)
        below = by_row(self._alpha(-weights.clamp(max=0), d * (weights < 0)), w)
        mean = (above + below) / 2
        book = torch.cat((-below, torch.zeros_like(mean), above), dim=1) / mean
        return Fit(mean, book, book[:, ::2] / 2)

    def _alpha(self, size: Tensor, d: Tensor) -> Tensor:
        if self.exact:
            return scan(size, d)
        cut = 0.7 * size.sum(1, keepdim=True) / (d > 0).sum(1, keepdim=True).clamp(min=1)
        return alternate(size, d, cut, (0.0, 1.0), self.ties)


def alternate(
    size: Float[Tensor, "gates weights"],
    d: Float[Tensor, "gates weights"],
    cuts: Float[Tensor, "gates cuts"],
    levels: tuple[float, ...],
    ties: str,
) -> Float[Tensor, "gates 1"]:
    r"""The scale $\alpha = \sum_i d_i b_i |w_i| / \sum_i d_i b_i$ where $b_i$ is the level next to $|w_i| / \alpha$.

    `cuts` say which level each magnitude takes at first; `levels` ascend from zero.
    """
    middles = size.new_tensor([(low + high) / 2 for low, high in itertools.pairwise(levels)])
    parts, alpha = torch.stack((d, d * size), dim=1), None
    passed = torch.gt if ties == "toward" else torch.ge
    for _ in range(ROUNDS):
        b = torch.zeros_like(size)
        for i, (low, high) in enumerate(itertools.pairwise(levels)):
            b += (high - low) * passed(size, cuts[:, i : i + 1])
        weight, product = (parts @ b[:, :, None]).unbind(1)
        before, alpha = alpha, _ratio(product, weight)
        if before is not None and torch.equal(alpha, before):
            break
        cuts = alpha * middles
    return alpha


def scan(size: Float[Tensor, "gates weights"], d: Float[Tensor, "gates weights"]) -> Float[Tensor, "gates 1"]:
    r"""The scale of the ternary $b$ with the least $\sum_i d_i (|w_i| - \alpha b_i)^2$.

    If $b$ is one for the largest few, the best $\alpha$ is $s / t$, their sums of $d|w|$ and $d$, and lowers the error
    by $s^2 / t$; the few for which that is most are the best of all.
    """
    falling, order = size.sort(dim=1, descending=True)
    d = d.gather(1, order).double()  # a gate may have a million weights to sum up
    t, s = d.cumsum(1), (d * falling).cumsum(1)
    best = (s * _ratio(s, t)).argmax(1, keepdim=True)
    return _ratio(s.gather(1, best), t.gather(1, best)).to(size.dtype)


def _ratio(s: Tensor, t: Tensor) -> Tensor:
    least = torch.finfo(torch.float32).tiny  # so that a gate of zeros has a scale to be divided by
    return (s / t.clamp(min=least)).clamp(min=least)
