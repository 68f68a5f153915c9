"""A few bits a weight, evenly spaced or powers of two, scaled as the curvature of the loss asks."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, by_gate, by_row, curvature
from lowbit.quantizers.lat import alternate
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Laq(quantizers.Quantizer):
    r"""$\alpha b$ with levels $b = i / n$ or, with `log`, $b = 0, \pm 2^{-i}$; $n = 2^{k-1} - 1$ of either sign.

    Nearest: $b$ is the level next to $w / \alpha$, halves away from zero, and
    $\alpha = \|b \odot d \odot w\|_1 / \|b \odot d\|_1$ over a gate's matrix; both alternate until they stay.
    $d = \sqrt v + 10^{-8}$ with Adam's second moment $v$, the same for all weights before the first update.
    Stochastic: unbiased between neighbours, which the source does not have. Gradient: straight-through, no mask.

    Source: hou2018loss, its code. The $\alpha$ of least weighted squares is
    $\sum d b w / \sum d b^2$; the code's, taken here, is the same for three levels only. Which one the paper
    prints is not known to us. The code starts from the signs of the last quantized weights and ends after ten
    rounds; a quantizer here has no memory and starts from the signs of the weights, which is `lab`'s scale. For
    powers of two the code rounds halves down but at the smallest level. The source clips the masters to
    $[-1, 1]$ after every update and this does not.
    """

    reference: ClassVar[str] = "hou2018loss"
    ties: ClassVar[str] = "away"
    fixed: ClassVar[bool] = False
    curved: ClassVar[bool] = True
    breaks: ClassVar[tuple[str, ...]] = ("idempotence",)
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent")
    bits: int = 3  # a weight, the sign among them
    log: bool = False  # powers of two

    def __post_init__(self):
        bounded(self, f"quantizer 'laq' with log={self.log}", bits=(2, 4 if self.log else 8))

    @property
    def levels(self) -> tuple[float, ...]:
        """Zero among them, the outermost 1."""
        return (*(-level for level in reversed(self._upper[1:])), *self._upper)

    @property
    def _upper(self) -> tuple[float, ...]:
        top = 2 ** (self.bits - 1) - 1
        steps = range(1, top + 1)
        return (0.0, *(2.0 ** (i - top) if self.log else i / top for i in steps))

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The mean magnitude of each gate's weights, weighted by curvature and level."""
        signs = w.new_zeros(site.gates, len(self._upper) - 1)  # cuts that all weights pass
        return by_row(alternate(by_gate(w, site).abs(), curvature(w, site), signs, self._upper, self.ties), w)
