"""Normalization of a matrix product before the gates; at run time each is one scale and one shift a row."""

import abc
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lowbit.registry import InputError, Registry

registry = Registry("norm")
register, names = registry.register, registry.names

EPS = 1e-5

# z of a step (batch rows), the step, and which rows z holds -> the normalized rows with their bias
Apply = Callable[[Tensor, int, slice], Tensor]
ALL = slice(None)


def rows(w: Tensor, part: slice) -> Tensor:
    """The rows of a part; all of them without a slice, whose gradient would fill a zero tensor at every step."""
    return w if part is ALL else w[part]


def affine(scale: Tensor, offset: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
    """Scale and offset of the step's slot, or of the last."""
    slot = min(t, len(scale) - 1)
    return torch.addcmul(offset[slot, part], z, scale[slot, part])


def add(bias: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
    """The product and its bias."""
    return z + rows(bias, part)


class Norm(nn.Module, abc.ABC):
    """Normalizes the products of one matrix, step by step, and adds their bias.

    In training mode a batch norm takes the statistics of the batch at hand, as every test of A's code does too; in
    evaluation mode it takes population statistics, which `collect` gathers.
    """

    gain: Tensor  # one factor a row
    collecting: bool = False
    scale_invariant: bool = True  # what comes out does not depend on the size of the weights
    live: str  # what it takes from the products at hand: moments over "batch" or "rows", "squares", or "nothing"

    def __init__(self, rows: int, steps: int, gain: float):
        super().__init__()
        self.steps = steps
        self.gain = nn.Parameter(torch.full((rows,), gain))

    @abc.abstractmethod
    def start(self, w: Float[Tensor, "rows cols"], bias: Float[Tensor, " rows"]) -> Apply:
        """The normalization of one sequence's products with the (quantized) matrix `w`."""

    @abc.abstractmethod
    def fold(self, w: Float[Tensor, "rows cols"]) -> tuple[Float[Tensor, "slots rows"], Float[Tensor, "slots rows"]]:
        """Scale and shift of each row, for each step or (one slot) all: the form that hardware runs."""

    def collect(self, on: bool) -> None:
        """Starts or ends the gathering of population statistics; only batch norms have any."""


def build(name: str, rows: int, steps: int) -> Norm:
    """The norm called `name` over `rows` products; raises `InputError` for an unknown name."""
    return registry[name](rows, steps)


class OverRows(Norm):
    """A norm over the rows of one product, each sequence and step by itself.

    Nothing is stored, so nothing can be folded: the sums over the rows are due at every step.
    """

    live: str = "rows"

    def __init__(self, rows: int, steps: int):
        super().__init__(rows, steps, gain=1.0)

    def start(self, w: Float[Tensor, "rows cols"], bias: Float[Tensor, " rows"]) -> Apply:
        """Normalizes each sequence by itself."""
        return functools.partial(self._normalize, bias)

    @abc.abstractmethod
    def _normalize(self, bias: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
        """One step of it."""

    def fold(self, w: Float[Tensor, "rows cols"]) -> tuple[Float[Tensor, "slots rows"], Float[Tensor, "slots rows"]]:
        """Raises `InputError`."""
        raise InputError(f"norm '{type(self).__name__.lower()}' cannot be folded: it depends on every input")


@register
class Layer(OverRows):
    r"""$\gamma (z - \mathrm{E} z) / \sqrt{\mathrm{Var} z + \epsilon}$ over the rows of one product (ba2016layer)."""

    def _normalize(self, bias: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
        return F.layer_norm(z, z.shape[-1:], rows(self.gain, part), rows(bias, part), EPS)


@register
class RMS(OverRows):
    r"""$\gamma z / \sqrt{\mathrm{E} z^2 + \epsilon}$ over the rows of one product: no mean (zhang2019root)."""

    live: str = "squares"

    def _normalize(self, bias: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
        return F.rms_norm(z, z.shape[-1:], rows(self.gain, part), EPS) + rows(bias, part)


class Affine(Norm):
    """A norm that is, at run time, a fixed scale and shift of each row."""

    live: str = "nothing"
    slots: int = 1  # how many scales and shifts are kept apart; a step past the last slot takes the last

    def start(self, w: Float[Tensor, "rows cols"], bias: Float[Tensor, " rows"]) -> Apply:
        """Applies what `fold` gives."""
        scale, shift = self.fold(w)
        return functools.partial(affine, scale, shift + bias)

    def absorbed(self, w: Float[Tensor, "rows cols"], bias: Float[Tensor, " rows"]) -> tuple[Tensor, Tensor]:
        """The matrix and bias that need no norm after them; only where all steps share one slot."""
        scale, shift = self.fold(w)
        return w * scale[0][:, None], bias + shift[0]


@registry.register_as("none")
class NoNorm(Affine):
    """The product as it is."""

    scale_invariant = False

    def __init__(self, rows: int, steps: int):
        super().__init__(rows, steps, gain=1.0)
        self.gain.requires_grad_(False)

    def start(self, w: Float[Tensor, "rows cols"], bias: Float[Tensor, " rows"]) -> Apply:
        """Adds the bias."""
        return functools.partial(add, bias)

    def absorbed(self, w: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Both as they are."""
        return w, bias

    def fold(self, w: Float[Tensor, "rows cols"]) -> tuple[Float[Tensor, "slots rows"], Float[Tensor, "slots rows"]]:
        """Ones and zeros."""
        return self.gain[None], torch.zeros_like(self.gain)[None]


@register
class Weight(Affine):
    r"""$\gamma z / \|w\|$ with the norm of each row of the quantized matrix (salimans2016weight)."""

    def __init__(self, rows: int, steps: int):
        super().__init__(rows, steps, gain=1.0)

    def fold(self, w: Float[Tensor, "rows cols"]) -> tuple[Float[Tensor, "slots rows"], Float[Tensor, "slots rows"]]:
        """The gain over the length of each row."""
        scale = self.gain / w.norm(dim=1).clamp(min=EPS)
        return scale[None], torch.zeros_like(scale)[None]


class BatchStatistics(Affine):
    r"""$\gamma (z - \mathrm{E} z) / \sqrt{\mathrm{Var} z + \epsilon}$ over a batch (ioffe2015batch).

    The gain starts at 0.1 (cooijmans2017recurrent), shared by all steps. Population statistics are pooled over
    all collected products: the mean, and the variance about it.
    """

    def __init__(self, rows: int, steps: int):
        super().__init__(rows, steps, gain=0.1)
        self.register_buffer("count", torch.zeros(self.slots, 1, dtype=torch.float64))
        self.register_buffer("total", torch.zeros(self.slots, rows, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(self.slots, rows, dtype=torch.float64))

    @property
    def live(self) -> str:
        """Moments over the batch in training mode."""
        return "batch" if self.training else "nothing"

    @property
    @abc.abstractmethod
    def slots(self) -> int:
        """One, or one for each step."""

    def gather(
        self, mean: Float[Tensor, "time rows"], variance: Float[Tensor, "time rows"], count: int, t: int
    ) -> None:
        """Adds to the population the moments of `count` products at each step from `t` on."""
        slots = torch.arange(t, t + len(mean)).clamp(max=self.slots - 1).to(mean.device)
        mean, variance = mean.double(), variance.double()
        self.count.index_add_(0, slots, self.count.new_full((len(mean), 1), count))
        self.total.index_add_(0, slots, count * mean)
        self.squares.index_add_(0, slots, count * (variance + mean**2))

    def start(self, w: Float[Tensor, "rows cols"], bias: Float[Tensor, " rows"]) -> Apply:
        """Normalizes by the batch in training mode, by the population in evaluation mode."""
        if not self.training:
            return super().start(w, bias)
        return functools.partial(self._normalize, bias)

    def _normalize(self, bias: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
        if self.collecting:
            self._add(z.detach().double(), min(t, self.slots - 1), part)
        return F.batch_norm(z, None, None, rows(self.gain, part), rows(bias, part), True, 0.0, EPS)

    def collect(self, on: bool) -> None:
        """Forgets the old statistics when it starts."""
        self.collecting = on
        if on:
            for buffer in (self.count, self.total, self.squares):
                buffer.zero_()

    def fold(self, w: Float[Tensor, "rows cols"]) -> tuple[Float[Tensor, "slots rows"], Float[Tensor, "slots rows"]]:
        """From the population; raises `InputError` before any was collected."""
        if not self.count.all():
            raise InputError("batch norm has no population statistics yet: calibrate the network first")
        mean = self.total / self.count
        variance = (self.squares / self.count - mean**2).clamp(min=0)
        scale = self.gain / torch.sqrt(variance + EPS).to(self.gain.dtype)
        return scale, -mean.to(scale.dtype) * scale

    def _add(self, z: Tensor, slot: int, part: slice) -> None:
        self.count[slot] += len(z) if part.start in (None, 0) else 0
        self.total[slot, part] += z.sum(0)
        self.squares[slot, part] += z.square().sum(0)


@register
class Batch(BatchStatistics):
    """Batch norm whose population statistics all steps share (hou2019normalization)."""

    slots: int = 1


@register
class BatchStep(BatchStatistics):
    """Batch norm with statistics for every time step: A's, after cooijmans2017recurrent."""

    @property
    def slots(self) -> int:
        """One for each step of a training segment."""
        return self.steps
