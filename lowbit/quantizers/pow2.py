"""Fixed-point weights whose few values are powers of two: products are shifts."""

import dataclasses
from typing import ClassVar

from lowbit import quantizers
from lowbit.registry import InputError, bounded


@quantizers.register
@dataclasses.dataclass(frozen=True)
class Pow2(quantizers.Quantizer):
    r"""$Qm.f$: multiples of $2^{-f}$ up to $(2^{f+m} - 1)\, 2^{-f}$; by default $\{-\frac12, 0, +\frac12\}$.

    Nearest: $2^{-f}\,\mathrm{clip}(\mathrm{round}(2^f w), \pm(2^{f+m} - 1))$, halves away from zero; also called
    dual-copy rounding. Stochastic: unbiased between neighbours, which B does not have. Gradient:
    straight-through, also where it saturates.

    Source: stromatias2015robustness as B uses it. The paper clips to $2^m$ before rounding, which for $m = 0,
    f = 1$ gives five values; the code clips after rounding, which gives the three that the text speaks of.
    This is the code's form.
    """

    reference: ClassVar[str] = "stromatias2015robustness"
    ties: ClassVar[str] = "away"
    integer_bits: int = 0  # m, the sign among them
    fraction_bits: int = 1  # f

    def __post_init__(self):
        bounded(self, "quantizer 'pow2'", integer_bits=(0, 7), fraction_bits=(0, 7))
        if not 1 <= self.integer_bits + self.fraction_bits <= 7:
            raise InputError("quantizer 'pow2' needs 1 to 7 bits: integer_bits + fraction_bits")

    @property
    def levels(self) -> tuple[float, ...]:
        """All multiples of the last fraction bit that do not saturate."""
        top = 2 ** (self.fraction_bits + self.integer_bits) - 1
        return tuple(i / 2**self.fraction_bits for i in range(-top, top + 1))
