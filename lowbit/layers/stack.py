"""Layers of one cell under torch's own signature: several, in one or both directions, on any form of input."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lowbit import quantizers
from lowbit.layers import cells, kernels
from lowbit.layers import norm as norms
from lowbit.layers.kernels import Loop, Norms, Weights
from lowbit.layers.networks.base import backwards
from lowbit.layers.norm import Norm
from lowbit.quantizers import Site
from lowbit.registry import InputError

OWN = ("norms.", "factors_")  # what torch's layers do not have
MATRICES = {"input": "weight_ih", "recurrent": "weight_hh"}
Span = tuple[int, int, int]  # steps from, to, and the sequences that last so long


class Layers(nn.RNNBase):
    """What `LSTM`, `GRU` and `RNN` share: torch's parameters, quantized once a call, and a norm after each product.

    Beyond torch's arguments: `quantizer` and `activations` are names from `lowbit.quantizers`; `norm` is one from
    `lowbit.layers.norm`, of which `weight` needs no statistics, and `batch` and `batch_step` those of `calibrate`;
    `quantized` are the parts that are quantized, of input, recurrent and biases; `steps` is how many steps have
    statistics of their own with `batch_step`, the later ones share those of the last.

    In training mode a stochastic quantizer samples, else weights are rounded to the nearest level. With the quantizer
    `full` and the norm `none` values, states and gradients are torch's. A `state_dict` of torch's layer can be loaded:
    norms stay as they are. Raises `InputError` for what is unknown or cannot be, `proj_size` among it.
    """

    def __init__(
        self,
        cell: str,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *args,
        quantizer: str = "ternary",
        norm: str = "weight",
        quantized: str = "input+recurrent",
        activations: str = "full",
        steps: int = 100,
        **settings,
    ):
        if settings.pop("proj_size", 0) or len(args) > 4:
            raise InputError("a projection (proj_size) has no low-bit form: leave it out")
        super().__init__(mode, input_size, hidden_size, num_layers, *args, **settings)
        self.cell, self.norm, self.steps, self.kernels = cells.build(cell), norm, steps, kernels.fastest()
        self.quantizer, self.activations = quantizers.build(quantizer), quantizers.build(activations)
        self.quantized = cells.parse_parts(quantized)
        self.choices = {
            "cell": cells.canonical(cell),
            "quantizer": quantizers.canonical(quantizer),
            "norm": norm,
            "activations": quantizers.canonical(activations),
        }
        self._check()
        rows = self.cell.gates * hidden_size
        names = [f"{side}_{suffix}" for suffix in self._suffixes() for side in ("ih", "hh")] * (norm != "none")
        self.norms = nn.ModuleDict({name: norms.build(norm, rows, steps) for name in names})
        self.norms.to(device=self.weight_ih_l0.device)
        for suffix in self._suffixes():
            for part in [part for part in MATRICES if part in self.quantized]:
                master = getattr(self, f"{MATRICES[part]}_{suffix}").detach()
                factors = self.quantizer.factors(master, self._site(part, suffix))
                if factors is not None:
                    self.register_parameter(f"factors_{part}_{suffix}", nn.Parameter(factors))

    def _check(self) -> None:
        quantizer, fits = self.quantizer, {*self.quantizer.fits} & {*MATRICES, "biases"}
        for part in sorted(self.quantized - fits):
            raise InputError(f"{quantizer!r} is none for {part} here; it is for {'+'.join(sorted(fits))}")
        if quantizer.curved:
            raise InputError(f"{quantizer!r} needs Adam's second moments, which only `lowbit train` passes on")
        if self.activations.stochastic:
            raise InputError(f"activations are rounded to the nearest level, never as {self.activations!r} would")
        if (near := quantizer.units(self.hidden_size)) != self.hidden_size:
            raise InputError(f"{quantizer!r} has no layers of {self.hidden_size} units; near: {near}")

    def reset_parameters(self) -> None:
        """Draws weights and biases as torch does; gains start again."""
        bound = self.hidden_size**-0.5
        for name, parameter in self.named_parameters(recurse=False):
            if not name.startswith("factors"):
                nn.init.uniform_(parameter, -bound, bound)
        for norm in self.norms.values() if "norms" in self._modules else ():  # torch draws before there are any
            nn.init.constant_(norm.gain, norm.initial_gain)

    def forward(self, input: Tensor | PackedSequence, hx: Tensor | tuple[Tensor, Tensor] | None = None):
        """Outputs of all steps and the last state, in the shapes that torch's layer takes and gives."""
        if isinstance(input, PackedSequence):
            x, lengths = pad_packed_sequence(PackedSequence(input.data, input.batch_sizes))
            self.check_input(input.data, input.batch_sizes)
            states = self._states(x, hx, input.sorted_indices)
            x, states = self._run(x, states, lengths)
            packed = pack_padded_sequence(x, lengths)
            output = input._replace(data=packed.data)
            if input.unsorted_indices is not None:
                states = [value.index_select(1, input.unsorted_indices) for value in states]
            return output, self._state(states)
        batched = input.dim() == 3
        self.check_input(input if batched else input[None], None)
        x = input.transpose(0, 1) if self.batch_first and batched else input
        x = x if batched else x[:, None]
        if not len(x):
            raise InputError("a sequence has at least one step")
        if not batched and hx is not None:
            hx = tuple(value[:, None] for value in hx) if isinstance(hx, tuple) else hx[:, None]
        x, states = self._run(x, self._states(x, hx), None)
        if not batched:
            return x[:, 0], self._state([value[:, 0] for value in states])
        return (x.transpose(0, 1) if self.batch_first else x), self._state(states)

    def _states(self, x: Tensor, hx, order: Tensor | None = None) -> list[Tensor]:
        """The first state, each (layers·directions batch units); zeros unless given."""
        expected = (self.num_layers * (2 if self.bidirectional else 1), x.shape[1], self.hidden_size)
        if hx is None:
            return [x.new_zeros(expected, dtype=self.weight_ih_l0.dtype)] * self.cell.memories
        values = list(hx) if isinstance(hx, tuple | list) else [hx]
        if len(values) != self.cell.memories:
            raise InputError(f"the state of {type(self).__name__} is {self.cell.memories} tensor(s), not {len(values)}")
        for value in values:
            self.check_hidden_size(value, expected, "Expected a state of size {}, got {}")
        return values if order is None else [value.index_select(1, order) for value in values]

    def _state(self, values: list[Tensor]):
        return tuple(values) if self.cell.memories > 1 else values[0]

    def _run(self, *inputs) -> tuple[Tensor, list[Tensor]]:
        """All layers; `torch.compile` leaves them as they are, compiled by hand."""
        return torch.compiler.disable(self._layers)(*inputs) if torch.compiler.is_compiling() else self._layers(*inputs)

    def _layers(self, x: Tensor, states: list[Tensor], lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """All layers; sequences are sorted by their lengths, the longest first."""
        spans, ends = _spans(len(x), x.shape[1], lengths), []
        lengths = None if lengths is None else lengths.to(x.device)
        suffixes = iter(self._suffixes())
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            sides = []
            for direction in range(2 if self.bidirectional else 1):
                values = tuple(state[len(ends)] for state in states)
                ordered = backwards(x, lengths) if direction else x
                output, end = self._direction(next(suffixes), ordered, values, spans)
                sides.append(backwards(output, lengths) if direction else output)
                ends.append(end)
            x = torch.cat(sides, dim=2) if len(sides) > 1 else sides[0]
        return x, [torch.stack(values) for values in zip(*ends, strict=True)]

    def _direction(
        self, suffix: str, x: Tensor, values: tuple[Tensor, ...], spans: list[Span]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        weights, outputs, ended = self._weights(suffix), [], []
        pair = Norms(self._norm(f"ih_{suffix}"), self._norm(f"hh_{suffix}"), None)
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(weights.x.dtype)
            values = tuple(value.to(weights.x.dtype) for value in values)
            for start, stop, alive in spans:
                if alive < 2 and pair.x.statistics == "batch":
                    raise InputError(f"norm {self.norm!r} needs 2 sequences or more at every step of training")
                ended.append(tuple(value[alive:] for value in values))
                values = tuple(value[:alive] for value in values)
                loop = Loop(self.cell, self.activations, pair, x[start:stop, :alive], weights, None, values, start)
                output, values, _ = kernels.run(self.kernels, loop)
                outputs.append(F.pad(output, (0, 0, 0, x.shape[1] - alive)))
        values = tuple(torch.cat(parts) for parts in zip(values, *ended[::-1], strict=True))
        h, *rest = values
        return self.activations.activate(torch.cat(outputs)), (self.activations.activate(h), *rest)

    def _weights(self, suffix: str) -> Weights:
        """The weights of one call."""

        def rounded(part: str, w: Tensor) -> Tensor:
            if part not in self.quantized:
                return w
            return self.quantizer(w, self._site(part, suffix), None if self.training else False)

        x, h = (rounded(part, getattr(self, f"{matrix}_{suffix}")) for part, matrix in MATRICES.items())
        if not self.bias:
            return Weights(x, h, x.new_zeros(len(x)), h.new_zeros(len(h)))
        biases = (getattr(self, f"bias_{side}_{suffix}") for side in ("ih", "hh"))
        return Weights(x, h, *(rounded("biases", bias[:, None])[:, 0] for bias in biases))

    def _site(self, part: str, suffix: str) -> Site:
        matrix = getattr(self, f"{MATRICES['recurrent' if part == 'recurrent' else 'input']}_{suffix}")
        factors = getattr(self, f"factors_{part}_{suffix}", None)
        return Site(matrix.shape[1], self.hidden_size, self.cell.gates, factors=factors)

    def _norm(self, name: str) -> Norm:
        if self.norms:
            return self.norms[name]
        return norms.build("none", self.cell.gates * self.hidden_size, 1).to(self.weight_ih_l0)

    def _suffixes(self) -> Iterator[str]:
        for layer in range(self.num_layers):
            yield f"l{layer}"
            if self.bidirectional:
                yield f"l{layer}_reverse"

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest) -> None:
        """Takes a state without norms and learned factors too, as torch's layers have it."""
        own = {prefix + name: value for name, value in self.state_dict().items() if name.startswith(OWN)}
        if not own.keys() & state_dict.keys():
            state_dict.update(own)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Torch's arguments, then ours."""
        ours = "".join(f", {name}={choice!r}" for name, choice in self.choices.items() if name != "cell")
        return super().extra_repr() + ours


def _spans(steps: int, batch: int, lengths: Tensor | None) -> list[Span]:
    """The stretches of steps in which the same sequences go on, the longest first.

    >>> _spans(5, 3, torch.tensor([5, 2, 2]))
    [(0, 2, 3), (2, 5, 1)]
    """
    ends = [steps] * batch if lengths is None else lengths.tolist()
    stops = sorted(set(ends))
    return [(start, stop, sum(end >= stop for end in ends)) for start, stop in zip([0, *stops], stops, strict=False)]
