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
    """A layer of whole numbers, called as lowbit.layers.recurrent.Recurrent is."""

    def __init__(self, layer: Recurrent, machine: Machine, inputs: Format | None, reach: int = 0):
        super().__init__()
        self.program = program.assemble(layer, machine, inputs, reach)

    def round(self, sample: bool | None = None) -> None:
        """Nothing: the weights were rounded once and for all."""

    def forward(self, x: Tensor, state: State | None = None, weights: None = None) -> tuple[Tensor, State]:
        """Outputs and the last state, as real numbers that the formats hold exactly."""
        loaded, machine = self.program, self.program.machine
        whole = x.numpy() if loaded.inputs is None else loaded.inputs.quantize(x.double().numpy())
        formats, values, t = (loaded.outputs, machine.wide), None, 0
        if state is not None:
            values = tuple(f.quantize(v.double().numpy()) for f, v in zip(formats, state.values, strict=False))
            t = state.t
        outputs, ends = golden.run(loaded, whole.astype(np.int64), values, t)
        reals = tuple(torch.from_numpy(f.real(v)) for f, v in zip(formats, ends, strict=False))
        return torch.from_numpy(loaded.outputs.real(outputs)).float(), State(reals, t + len(x))


def on(machine: Machine, network: Network, limit: float | None = None, reach: int = 0) -> Network:
    """A calibrated network with its layers on a machine; every evaluation takes it as it takes the network.

    `limit` bounds real inputs, and larger ones saturate; none says that inputs are symbols. `reach` is the power of
    two that bounds outputs of relus. A layer that reads both ways runs on two engines. Raises `InputError` for what
    lowbit.hardware.program refuses.
    """
    network = copy.deepcopy(network).cpu().eval()
    if network.embedding is not None:
        limit = float(network.round(sample=False).embedding.abs().max())
    form = None if limit is None else reaching(limit, machine.act_bits)
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Bidirectional):
            layer.forwards = Engine(layer.forwards, machine, form, reach)
            layer.backwards = Engine(layer.backwards, machine, form, reach)
            form = layer.forwards.program.outputs
        else:
            network.layers[number] = Engine(layer, machine, form, reach)
            form = network.layers[number].program.outputs
    return network


def reaching(limit: float, bits: int) -> Format:
    """The finest format of so many bits that goes up to `limit`, or the last step before a power of two.

    >>> reaching(1.0, 12), reaching(1.01, 12)
    (Format(bits=12, fraction=11), Format(bits=12, fraction=10))
    """
    return Format(bits, bits - 1 - int(np.ceil(np.log2(max(limit, 2.0**-20)))))
