"""The base class of quantizers: a sorted codebook, a threshold between neighbours, and a scale."""

import abc
import dataclasses
import math
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lowbit.quantizers.planes import Plane, split
from lowbit.registry import InputError

FEW = 4  # so many thresholds are compared one by one in less time than a search takes


class Site(NamedTuple):
    """The matrix a weight belongs to: its sizes, and the state of training that some scales depend on."""

    inputs: int  # columns
    units: int  # rows of one gate
    gates: int = 1  # blocks of `units` rows
    curvature: Tensor | None = None  # like the weights: the root of Adam's second moment; none: the same for all
    factors: Tensor | None = None  # learned by training, a row for each gate; none: those that training starts from

    @classmethod
    def of(cls, w: Tensor) -> "Site":
        """The site of a matrix that is one block."""
        return cls(inputs=w.shape[-1], units=w.shape[0])


class Lane(NamedTuple):
    """The arithmetic of one weight and one activation in hardware."""

    operation: str  # "multiply", "shift", "add or skip", "add", or "add per bit" of its weight
    weight_bits: int
    act_bits: int


class Fit(NamedTuple):
    """The scale, codebook and thresholds of a matrix: one row for all of its rows, or one for each."""

    scale: Tensor  # (#rows #cols)
    codebook: Tensor  # (#rows levels), at scale 1
    cuts: Tensor  # (#rows cuts), at scale 1


class StraightThrough(torch.autograd.Function):
    """Forward the quantized value, exact to the bit; backward the identity (bengio2013estimating)."""

    @staticmethod
    def forward(ctx, w: Tensor, quantized: Tensor) -> Tensor:
        """Returns `quantized`."""
        return quantized.view_as(quantized)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        """Passes the gradient on to `w`, without a mask."""
        return grad, None


@dataclasses.dataclass(frozen=True)
class Quantizer(abc.ABC):
    r"""$Q(w) = \alpha\, l_k$: nearest rounding of $u = w / \alpha$ by thresholds, or stochastic rounding.

    Stochastic rounding takes $u$ between the neighbours $l_k \le u \le l_{k+1}$ to the upper one with probability
    $(u - l_k) / (l_{k+1} - l_k)$, which is unbiased; outside the codebook it takes the outermost level. BinaryConnect's
    hard sigmoid, TernaryConnect's $|u|$ and the stochastic exponential rule are cases of this rule.
    The gradient is that of `surrogate`: straight-through, $\partial Q / \partial w = 1$, unless overridden.
    """

    reference: ClassVar[str]  # a key of book/references.bib
    ties: ClassVar[str] = "up"  # how a value on a threshold is rounded: up, down, away or toward (zero)
    fixed: ClassVar[bool] = True  # the scale does not follow the weights, so masters can be kept within it
    curved: ClassVar[bool] = False  # the scale asks for the curvature of the loss, so training needs Adam
    # Laws that most members keep: "order", a larger weight gets no smaller level; "idempotence", twice is once.
    breaks: ClassVar[tuple[str, ...]] = ()
    fits: ClassVar[tuple[str, ...]] = ("input", "recurrent", "biases", "embedding", "readout")
    stochastic: bool = False  # whether training samples; a deployed network always rounds to the nearest

    @property
    @abc.abstractmethod
    def levels(self) -> tuple[float, ...]:
        """The codebook at scale 1, ascending; empty means full precision."""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The thresholds between neighbouring levels at scale 1; the midpoints unless a source says otherwise."""
        return tuple((a + b) / 2 for a, b in zip(self.levels, self.levels[1:], strict=False))

    def scale(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The factor alpha of each row; 1 unless overridden."""
        return w.new_ones(1, 1)

    def bound(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "#rows #cols"]:
        """The largest size of master weights where a recipe clips them: the outermost level of a fixed scale.

        Where no scale is fixed, as in full precision, it is A's scale, so that a recipe treats all methods alike.
        """
        if self.levels and self.fixed:
            return max(map(abs, self.levels)) * self.scale(w, site)
        return w.new_full((1, 1), glorot(site.inputs, site.gates * site.units) / 2)

    def fit(self, w: Float[Tensor, "rows cols"], site: Site) -> Fit:
        """Scale, levels and thresholds, from the methods of these names unless the matrix decides all three."""
        return Fit(self.scale(w, site), w.new_tensor([self.levels]), w.new_tensor([self.thresholds]))

    def normalize(
        self, w: Float[Tensor, "rows cols"], scale: Float[Tensor, "#rows #cols"], site: Site
    ) -> Float[Tensor, "rows cols"]:
        """The weights at scale 1."""
        return w / scale

    def surrogate(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "rows cols"]:
        """The function whose gradient stands in for that of Q: the identity unless overridden."""
        return w

    def factors(self, w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "gates factors"] | None:
        """The initial values of factors learned beside the weights; none unless overridden."""
        return None

    def units(self, hidden: int) -> int:
        """The hidden size that a layer gets for `hidden`: the same unless overridden."""
        return hidden

    @property
    def bits(self) -> int:
        """Bits of a code; 32 for full precision."""
        return math.ceil(math.log2(len(self.levels))) if self.levels else 32

    def encode(
        self, w: Float[Tensor, "rows cols"], site: Site | None = None, sample: bool = False
    ) -> tuple[UInt8[Tensor, "rows cols"], Float[Tensor, "#rows levels"]]:
        """The index of each weight's level, and the levels; raises `InputError` without levels."""
        if not self.levels:
            raise InputError(f"{type(self).__name__.lower()} precision has no codes")
        site = site or Site.of(w)
        scale, book, cuts = self.fit(w, site)
        u = self.normalize(w, scale, site)
        codes = _sampled(u, book) if sample else self._nearest(u, cuts)
        return codes.to(torch.uint8), book * scale

    def decode(
        self, codes: UInt8[Tensor, "rows cols"], book: Float[Tensor, "#rows levels"]
    ) -> Float[Tensor, "rows cols"]:
        """The levels of the codes."""
        return _level(book, codes)

    def planes(self, w: Float[Tensor, "rows cols"], site: Site) -> tuple[Plane, ...]:
        """Q(w) as a sum of planes of whole numbers, as few as its levels need."""
        return split(*self.encode(w, site), self.levels)

    def __call__(
        self, w: Float[Tensor, "rows cols"], site: Site | None = None, sample: bool | None = None
    ) -> Float[Tensor, "rows cols"]:
        """The quantized weights with the surrogate's gradient; `sample` is `stochastic` unless given."""
        if not self.levels:
            return w
        site = site or Site.of(w)
        with torch.no_grad():
            quantized = self.decode(*self.encode(w, site, self.stochastic if sample is None else sample))
        return StraightThrough.apply(self.surrogate(w, site), quantized)

    def activate(self, h: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
        """Activations at scale 1, nearest rounding; straight-through between the outermost levels."""
        if not self.levels:
            return h
        with torch.no_grad():
            quantized = _level(h.new_tensor([self.levels]), self._nearest(h, h.new_tensor([self.thresholds])))
        return StraightThrough.apply(h.clamp(self.levels[0], self.levels[-1]), quantized)

    def lane(self, act_bits: int) -> Lane:
        """The cheapest arithmetic that multiplies an activation of `act_bits` by one of the levels."""
        sizes = {abs(level) for level in self.levels} - {0.0}
        if len(sizes) == 1:
            return Lane("add or skip" if 0.0 in self.levels else "add", self.bits, act_bits)
        if sizes and all(math.log2(size).is_integer() for size in sizes):
            return Lane("shift", self.bits, act_bits)
        return Lane("multiply", self.bits, act_bits)

    def _nearest(self, u: Tensor, cuts: Tensor) -> Tensor:
        upper = {"up": cuts == cuts, "down": cuts != cuts, "away": cuts > 0, "toward": cuts <= 0}[self.ties]
        return _count_below(cuts, u, upper)


def _search(steps: Tensor, u: Tensor, right: bool) -> Tensor:
    return torch.searchsorted(steps[0] if len(steps) == 1 else steps, u, right=right)


def _count_below(cuts: Tensor, u: Tensor, upper: Tensor) -> Tensor:
    """The number of thresholds below each value, and of those equal to it where `upper` is true."""
    if cuts.shape[1] > FEW:
        if upper.all() or not upper.any():
            return _search(cuts, u, bool(upper.all()))
        below, above = (_search(cuts, u, right) for right in (False, True))
        return below + (above - below) * _level(upper, below.clamp(max=cuts.shape[1] - 1))
    count = torch.zeros_like(u, dtype=torch.uint8)
    for cut, equal in zip(cuts.split(1, dim=1), upper.split(1, dim=1), strict=True):
        beyond = u >= cut if equal.all() else u > cut
        if equal.any() and not equal.all():
            beyond |= (u == cut) & equal
        count += beyond.view(torch.uint8)
    return count


def _level(book: Tensor, codes: Tensor) -> Tensor:
    if len(book) > 1:
        return book.gather(1, codes.long())
    return book[0].index_select(0, codes.flatten().int()).view(codes.shape)


def _sampled(u: Tensor, book: Tensor) -> Tensor:
    lower = (_search(book, u, True) - 1).clamp(0, book.shape[1] - 2)
    low, high = _level(book, lower), _level(book, lower + 1)
    return lower + (torch.rand_like(u) < (u - low) / (high - low))


def by_gate(w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "gates weights"]:
    """The weights of each gate in one row."""
    return w.reshape(site.gates, -1)


def by_row(values: Float[Tensor, "gates k"], w: Float[Tensor, "rows cols"]) -> Float[Tensor, "rows k"]:
    """The values of each gate, repeated for each of its rows."""
    return values.repeat_interleave(len(w) // len(values), dim=0)


def positive(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The values, or the least positive number where they are zero, so that they can divide."""
    return values.clamp(min=torch.finfo(values.dtype).tiny)


def curvature(w: Float[Tensor, "rows cols"], site: Site) -> Float[Tensor, "gates weights"]:
    """The curvature of the loss along each weight, a gate a row; 1 for all before the first update."""
    return by_gate(torch.ones_like(w) if site.curvature is None else site.curvature, site)


def glorot(fan_in: int, fan_out: int) -> float:
    """The bound of Glorot's uniform initialization (glorot2010understanding)."""
    return math.sqrt(6 / (fan_in + fan_out))
