"""Sums of k signed numbers, found anew for every row: k binary matrices in the place of one."""

import dataclasses
import itertools
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Fit, Lane, Quantizer, Site, positive
from lowbit.quantizers.planes import Plane
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Alternating(Quantizer):
    r"""$\sum_{i=1}^k \alpha_i b_i$ with $b_i = \pm 1$, to minimize $\|w - \sum_i \alpha_i b_i\|^2$ over each row.

    Greedy at first, $\alpha_i = \mathrm{E}|r|$ and $b_i = \mathrm{sign}\,r$ of the remainder,
    $r = w - \sum_{j<i} \alpha_j b_j$, with $+$ for zero. Then in turn, `cycles` times:
    $\alpha = (B^\top B)^{-1} B^\top w$, and each weight takes the nearest of the $2^k$ sums, halves up. Where
    columns of $B$ coincide, the least $\alpha$ is taken. Stochastic: unbiased between neighbouring sums, which the
    source does not have. Gradient: straight-through.

    Source: xu2018alternating, a draft of the paper; a code of its authors is not known to us. It starts from
    trained full-precision networks and clips the masters to $[-1, 1]$, which is for a recipe to do. A row of one
    weight stands for itself, so biases are left out. `levels` are nominal, evenly spaced: a
    matrix has its own, row by row.
    """

    reference: ClassVar[str] = "xu2018alternating"
    fixed: ClassVar[bool] = False
    breaks: ClassVar[tuple[str, ...]] = ("idempotence",)
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent", "embedding", "readout")
    bits: int = 2  # a weight
    cycles: int = 2

    def __post_init__(self):
        bounded(self, "quantizer 'alternating'", bits=(1, 4), cycles=(1, 100))

    @property
    def levels(self) -> tuple[float, ...]:
        """Evenly spaced from -1 to 1."""
        top = 2**self.bits - 1
        return tuple(i / top for i in range(-top, top + 1, 2))

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The largest sum of each row."""
        return self.fit(w, site).scale

    def fit(self, w: Float[Tensor, "rows cols"], site: Site) -> Fit:
        """The sums of each row, over the largest of them; thresholds are midpoints."""
        sums, _ = _sums(self._alphas(w), _signs(self.bits, w))
        largest = positive(sums[:, -1:])
        book = sums / largest
        return Fit(largest, book, _middles(book))

    def planes(self, w: Float[Tensor, "rows cols"], site: Site) -> tuple[Plane, ...]:
        """The signs and the alpha of each bit."""
        alphas, signs = self._alphas(w), _signs(self.bits, w)
        codes, _ = self.encode(w, site)
        chosen = signs[_sums(alphas, signs)[1].gather(1, codes.long())].long()
        return tuple(Plane(chosen[:, :, bit], alphas[:, bit]) for bit in range(self.bits))

    def _alphas(self, w: Tensor) -> Tensor:
        signs = _signs(self.bits, w)
        alphas, planes = _greedy(w, self.bits)
        for cycle in range(self.cycles):
            if cycle:
                planes = _planes(w, *_sums(alphas, signs), signs)
            alphas = _least_squares(w, planes)
        return alphas

    def lane(self, act_bits: int) -> Lane:
        """An addition for each bit; the sums of a row are multiplied by their alphas once, at its end."""
        return Lane("add per bit", self.bits, act_bits)


def _signs(bits: int, like: Tensor) -> Tensor:
    return torch.tensor(list(itertools.product((-1, 1), repeat=bits)), dtype=like.dtype, device=like.device)


def _greedy(w: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    rest, alphas, planes = w, [], []
    for _ in range(bits):
        alphas.append(rest.abs().mean(1))
        planes.append(2 * (rest >= 0).to(w.dtype) - 1)
        rest = rest - alphas[-1][:, None] * planes[-1]
    return torch.stack(alphas, dim=1), torch.stack(planes, dim=1)


def _least_squares(w: Tensor, planes: Tensor) -> Tensor:
    # The products are whole numbers, so double precision distinguishes columns that coincide from all others.
    squares = (planes @ planes.mT).double()
    alphas = torch.linalg.pinv(squares, rtol=1e-10, hermitian=True) @ (planes @ w[:, :, None]).double()
    return alphas[:, :, 0].to(w.dtype)


def _sums(alphas: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of each row, ascending, and the indices of their signs."""
    return (alphas @ signs.T).sort(dim=1, stable=True)


def _middles(sums: Tensor) -> Tensor:
    return (sums[:, 1:] + sums[:, :-1]) / 2


def _planes(w: Tensor, sums: Tensor, order: Tensor, signs: Tensor) -> Tensor:
    chosen = order.gather(1, torch.searchsorted(_middles(sums), w, right=True))
    return signs[chosen].mT
