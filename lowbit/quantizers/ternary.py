"""Two bits a weight, one of the four codes unused; a zero weight costs no addition."""

import dataclasses
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.quantizers.base import Site, glorot
from lowbit.registry import bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Ternary(quantizers.Quantizer):
    r"""$\{-\alpha, 0, +\alpha\}$ with $\alpha = \frac12\sqrt{6 / (d + Gn)}$ for $d$ inputs and $G$ gates of $n$ units.

    Nearest: zero where $|w| \le \alpha/3$, else the sign. Stochastic: the sign with probability
    $\mathrm{clip}(|w|/\alpha, 0, 1)$, else zero, fresh for every forward pass. Gradient: straight-through, no
    mask.

    Source: A. The probabilities printed in its first version do not sum to one, so the stochastic rule is the
    released code's; the threshold at a third is the code's deterministic mode, which the paper does not evaluate.
    """

    reference: ClassVar[str] = "ardakani2019learning"
    levels: ClassVar[tuple[float, ...]] = (-1.0, 0.0, 1.0)
    ties: ClassVar[str] = "toward"
    threshold: float = 1 / 3  # of alpha

    def __post_init__(self):
        bounded(self, "quantizer 'ternary'", threshold=(0.001, 0.999))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """A third of alpha on either side."""
        return (-self.threshold, self.threshold)

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """Half the Glorot bound, the fan-out counting all gates."""
        return w.new_full((1, 1), glorot(site.inputs, site.gates * site.units) / 2)
