"""A trained network whose recurrent layers run on an engine; embedding and readout stay with the host."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from lowbit.hardware import golden, program
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.fixed import Format
from lowbit.layers.cells import State
from lowbit.layers.networks import Network
from lowbit.layers.networks.base import Bidirectional
from lowbit.layers.recurrent import Recurrent


class Engine(nn.Module):
    """A layer of whole numbers with the call signature of lowbit.layers.recurrent.Recurrent."""

    def __init__(self, layer: Recurrent, machine: Machine, inputs: Format | None, reach: int):
        super().__init__()
        self.program = program.assemble(layer, machine, inputs, reach)

    def round(self, sample: bool | None = None) -> None:
        """Nothing: the weights of a program are rounded."""

    def forward(self, x: Tensor, state: State | None = None, weights: None = None) -> tuple[Tensor, State]:
        """Outputs and the last state, as real numbers that the formats hold exactly."""
        inputs, formats = self.program.inputs, (self.program.outputs, self.program.machine.wide)
        whole = x.numpy() if inputs is None else inputs.quantize(x.double().numpy())
        values, t = None, 0
        if state is not None:
            values = tuple(f.quantize(v.double().numpy()) for f, v in zip(formats, state.values, strict=False))
            t = state.t
        outputs, ends = golden.run(self.program, whole.astype(np.int64), values, t)
        reals = tuple(torch.from_numpy(f.real(v)) for f, v in zip(formats, ends, strict=False))
        return torch.from_numpy(formats[0].real(outputs)).float(), State(reals, t + len(x))


def on_machine(machine: Machine, network: Network, limit: float | None = None, reach: int = 0) -> Network:
    """A copy of a calibrated network with its layers on a machine; evaluations accept it like the network.

    `limit` bounds real inputs, and larger ones saturate; none says that inputs are symbols. `reach` is the power of
    two that bounds outputs of relus. A bidirectional layer runs on two engines. Raises `InputError` as
    lowbit.hardware.program.assemble does.
    """
    network = copy.deepcopy(network).cpu().eval()
    if network.embedding is not None:
        limit = float(network.round(sample=False).embedding.abs().max())
    form = None if limit is None else program.format_up_to(limit, machine.act_bits)
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Bidirectional):
            layer.forwards, layer.backwards = (
                Engine(half, machine, form, reach) for half in (layer.forwards, layer.backwards)
            )
            form = layer.forwards.program.outputs
        else:
            network.layers[number] = Engine(layer, machine, form, reach)
            form = network.layers[number].program.outputs
    return network
