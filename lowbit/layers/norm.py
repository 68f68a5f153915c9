"""Normalization of a matrix product before the gates; at run time each is one scale and one shift a row."""

import abc
import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lowbit.registry import InputError, Registry

registry = Registry("norm")
register, names = registry.register, registry.names

EPS = 1e-5

# products of a step (batch rows), the step, and which rows these are -> the normalized rows with their bias
Apply = Callable[[Tensor, int, slice], Tensor]
Matrix = Float[Tensor, "rows cols"]
Bias = Float[Tensor, " rows"]
Slots = Float[Tensor, "slots rows"]
ALL = slice(None)


def rows(w: Tensor, part: slice) -> Tensor:
    """The rows of a part; all of them without a slice, whose gradient would fill a zero tensor at every step."""
    return w if part is ALL else w[part]


class Norm(nn.Module, abc.ABC):
    """Normalizes the products of one matrix, step by step, and adds their bias.

    In training mode a batch norm takes the statistics of the current batch, as every test of A's code does too; in
    evaluation mode it takes population statistics, which `collect` gathers.
    """

    gain: Tensor  # one factor a row
    initial_gain: float = 1.0
    trainable: bool = True  # the gain has a gradient
    collecting: bool = False
    scale_invariant: bool = True  # the result does not depend on the size of the weights
    statistics: str  # computed from the products: moments over "batch" or "rows", "squares" of rows, or "nothing"

    def __init__(self, rows: int, steps: int):
        super().__init__()
        self.steps = steps
        self.gain = nn.Parameter(torch.full((rows,), self.initial_gain), self.trainable)

    @abc.abstractmethod
    def normalizer(self, w: Matrix, bias: Bias) -> Apply:
        """Returns the function that normalizes one sequence's products with the (quantized) matrix `w`."""

    def fold(self, w: Matrix) -> tuple[Slots, Slots]:
        """Scale and shift of each row, for each step or (one slot) all: the form that hardware runs.

        Raises `InputError` where statistics of every product are due, and before population statistics are there.
        """
        raise InputError(f"norm '{type(self).__name__.lower()}' cannot be folded: it depends on every input")

    def collect(self, on: bool) -> None:
        """Starts or ends the gathering of population statistics; only batch norms have any."""


def build(name: str, rows: int, steps: int) -> Norm:
    """The norm called `name` over `rows` products; raises `InputError` for an unknown name."""
    return registry[name](rows, steps)


@contextlib.contextmanager
def gathering(module: nn.Module) -> Iterator[None]:
    """Within, all norms of a module gather population statistics; the module is in evaluation mode, and stays so."""
    norms = [part for part in module.modules() if isinstance(part, Norm)]
    module.eval()
    for norm in norms:
        norm.collect(True)
        norm.train()
    try:
        yield
    finally:
        for norm in norms:
            norm.collect(False)
            norm.eval()


@register
class Layer(Norm):
    r"""$\gamma (z - \mathrm{E} z) / \sqrt{\mathrm{Var} z + \epsilon}$ over the rows of one product (ba2016layer)."""

    statistics: str = "rows"

    def normalizer(self, w: Matrix, bias: Bias) -> Apply:
        """Normalizes each sequence by itself."""
        return lambda z, t, part: F.layer_norm(z, z.shape[-1:], rows(self.gain, part), rows(bias, part), EPS)


@register
class RMS(Norm):
    r"""$\gamma z / \sqrt{\mathrm{E} z^2 + \epsilon}$ over the rows of one product: no mean (zhang2019root)."""

    statistics: str = "squares"

    def normalizer(self, w: Matrix, bias: Bias) -> Apply:
        """Normalizes each sequence by itself."""
        return lambda z, t, part: F.rms_norm(z, z.shape[-1:], rows(self.gain, part), EPS) + rows(bias, part)


class Affine(Norm):
    """A norm that is, at run time, a fixed scale and shift of each row."""

    statistics: str = "nothing"
    slots: int = 1  # how many scales and shifts it has; a step past the last slot takes the last

    def normalizer(self, w: Matrix, bias: Bias) -> Apply:
        """Applies the scale and shift of `fold`."""
        scale, shift = self.fold(w)
        offset = shift + bias

        def apply(z: Tensor, t: int, part: slice) -> Tensor:
            slot = min(t, len(scale) - 1)
            return torch.addcmul(offset[slot, part], z, scale[slot, part])

        return apply

    def fold_into(self, w: Matrix, bias: Bias) -> tuple[Tensor, Tensor]:
        """The matrix and bias that need no norm after them; only where all steps share one slot."""
        scale, shift = self.fold(w)
        return w * scale[0][:, None], bias + shift[0]


@registry.register_as("none")
class NoNorm(Affine):
    """The product as it is."""

    trainable = False
    scale_invariant = False

    def normalizer(self, w: Matrix, bias: Bias) -> Apply:
        """Adds the bias."""
        return lambda z, t, part: z + rows(bias, part)

    def fold_into(self, w: Matrix, bias: Bias) -> tuple[Tensor, Tensor]:
        """Both as they are."""
        return w, bias

    def fold(self, w: Matrix) -> tuple[Slots, Slots]:
        """Ones and zeros."""
        return self.gain[None], torch.zeros_like(self.gain)[None]


@register
class Weight(Affine):
    r"""$\gamma z / \|w\|$ with the norm of each row of the quantized matrix (salimans2016weight)."""

    def fold(self, w: Matrix) -> tuple[Slots, Slots]:
        """The gain over the length of each row."""
        scale = self.gain / w.norm(dim=1).clamp(min=EPS)
        return scale[None], torch.zeros_like(scale)[None]


class BatchStatistics(Affine):
    r"""$\gamma (z - \mathrm{E} z) / \sqrt{\mathrm{Var} z + \epsilon}$ over a batch (ioffe2015batch).

    The gain starts at 0.1 (cooijmans2017recurrent), shared by all steps. Population statistics are pooled over
    all collected products: the mean, and the variance about it.
    """

    initial_gain = 0.1

    def __init__(self, rows: int, steps: int):
        super().__init__(rows, steps)
        for name, columns in (("count", 1), ("total", rows), ("squares", rows)):
            self.register_buffer(name, torch.zeros(self.slots, columns, dtype=torch.float64))

    @property
    def statistics(self) -> str:
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

    def normalizer(self, w: Matrix, bias: Bias) -> Apply:
        """Normalizes by the batch in training mode, by the population in evaluation mode."""
        return functools.partial(self._normalize, bias) if self.training else super().normalizer(w, bias)

    def _normalize(self, bias: Tensor, z: Tensor, t: int, part: slice) -> Tensor:
        if self.collecting:
            slot, wide = min(t, self.slots - 1), z.detach().double()
            self.count[slot] += len(z) if part.start in (None, 0) else 0
            self.total[slot, part] += wide.sum(0)
            self.squares[slot, part] += wide.square().sum(0)
        return F.batch_norm(z, None, None, rows(self.gain, part), rows(bias, part), True, 0.0, EPS)

    def collect(self, on: bool) -> None:
        """Starts or ends the gathering; a start discards earlier statistics."""
        self.collecting = on
        if on:
            for buffer in (self.count, self.total, self.squares):
                buffer.zero_()

    def fold(self, w: Matrix) -> tuple[Slots, Slots]:
        """From the population; raises `InputError` before any was collected."""
        if not self.count.all():
            raise InputError("batch norm has no population statistics yet: calibrate the network first")
        mean = self.total / self.count
        variance = (self.squares / self.count - mean**2).clamp(min=0)
        scale = self.gain / torch.sqrt(variance + EPS).to(self.gain.dtype)
        return scale, -mean.to(scale.dtype) * scale


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
