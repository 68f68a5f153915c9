"""An orthogonal recurrent matrix of one bit a weight: a Hadamard matrix whose rows have learned signs."""

import dataclasses
import functools
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site
from lowbit.registry import InputError


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Hadamard(quantizers.Quantizer):
    r"""$Q(W) = \mathrm{diag}(\mathrm{sign}\,u)\, H / \sqrt n$ for the square matrix of each gate; $Q Q^\top = I$.

    $H$ is Sylvester's matrix, $H_1 = 1$ and $H_{2m} = \begin{pmatrix} H_m & H_m \\ H_m & -H_m \end{pmatrix}$, so the
    number of units $n$ must be a power of two. $u$ is the first column of the master, where $H$ is $+1$; the
    other columns are neither used nor trained, and $n$ signs a gate are all there is to store. $u = 0$ counts as
    positive. There is no nearest level and no sampling. Gradient: to $u$ as if the sign were the identity, no mask.

    Source: foucault2025hadamrnn, its code, where the sign of zero is zero and would delete a row. Its network is
    a linear recurrence under a ReLU readout with input and output matrices of four bits, and its $u$ starts
    uniform within $\sqrt{6 / (n + 1)}$; here any cell takes it and $u$ starts with the master. The sparse form with
    blocks of Hadamard matrices is left out. A product with $H$ needs $n \log_2 n$ additions, not $n^2$; the
    cost reported here is that of a plain product.
    """

    reference: ClassVar[str] = "foucault2025hadamrnn"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    breaks: ClassVar[tuple[str, ...]] = ("order",)
    fits: ClassVar[tuple[str, ...]] = ("recurrent",)

    def __post_init__(self):
        if self.stochastic:
            raise InputError("quantizer 'hadamard' cannot be stochastic: a drawn matrix would not be orthogonal")

    def units(self, hidden: int) -> int:
        """The power of two at or above."""
        return 1 << (hidden - 1).bit_length()

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """One over the root of the number of units."""
        return w.new_full((1, 1), 1 / math.sqrt(w.shape[1]))

    def normalize(
        self, w: Float[Tensor, "rows cols"], scale: Float[Tensor, "#rows #cols"], site: Site
    ) -> Float[Tensor, "rows cols"]:
        """The signs of the first column times the Hadamard matrix."""
        return torch.where(w[:, :1] >= 0, 1.0, -1.0) * _tiled(w, site)

    def surrogate(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "rows cols"]:
        """The first column in the place of its signs."""
        return w[:, :1] * _tiled(w, site) * self.scale(w, site)


@functools.cache
def sylvester(n: int) -> Float[Tensor, "n n"]:
    """The Hadamard matrix of Sylvester; raises `InputError` if `n` is no power of two."""
    if n < 1 or n & (n - 1):
        raise InputError(f"quantizer 'hadamard' needs a hidden size that is a power of two, not {n}")
    h = torch.ones(1, 1)
    while len(h) < n:
        h = torch.cat((torch.cat((h, h), dim=1), torch.cat((h, -h), dim=1)))
    return h


def _tiled(w: Tensor, site: Site) -> Tensor:
    if len(w) != site.gates * w.shape[1]:
        raise InputError(f"quantizer 'hadamard' is for square matrices, not {len(w) // site.gates} x {w.shape[1]}")
    return sylvester(w.shape[1]).to(w).repeat(site.gates, 1)
