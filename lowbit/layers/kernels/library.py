"""torch's own recurrent layers, where no norm is between a product and its gates."""

import dataclasses
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.layers import cells, kernels
from lowbit.layers.kernels.base import Kernel, Loop

SYMBOLS = 2048  # more of them, one-hot, would cost more than the loop


@kernels.register
@dataclasses.dataclass(frozen=True)
class Library(Kernel):
    """`torch.lstm`, `torch.gru`, `torch.rnn_tanh` and `torch.rnn_relu` over quantized weights.

    A norm that is a fixed scale and shift of each row goes into the weights.
    """

    rank: ClassVar[int] = 2

    def lacks(self, loop: Loop) -> str:
        """Its cells, and norms without moments and with one slot, are torch's."""
        if _layer(loop) is None or loop.cell.normalize_cell:
            return f"torch has no layer for cell {loop.cell!r}"
        if loop.x.device.type != "cpu":  # there cuDNN would copy the quantized weights together at every call
            return "not on a CPU"
        if loop.activations.levels:
            return "torch's layers do not quantize activations"
        if not loop.x.is_floating_point() and loop.weights.x.shape[1] > SYMBOLS:
            return f"more than {SYMBOLS} symbols"
        return "" if fixed(loop) else "the norm changes from step to step"

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One call."""
        w = loop.weights
        x = loop.x if loop.x.is_floating_point() else F.one_hot(loop.x, w.x.shape[1]).to(w.x.dtype)
        (w_x, bias_x), (w_h, bias_h) = (
            norm.absorbed(w, bias) for norm, w, bias in ((loop.norms.x, w.x, w.bias_x), (loop.norms.h, w.h, w.bias_h))
        )
        start = tuple(value[None].contiguous() for value in loop.values)
        layer, training = _layer(loop), torch.is_grad_enabled()
        state = start if len(start) > 1 else start[0]
        outputs, *last = layer(x, state, [w_x, w_h, bias_x, bias_h], True, 1, 0.0, training, False, False)
        return outputs, tuple(value[0] for value in last)


def fixed(loop: Loop) -> bool:
    """Whether both norms are one scale and shift for all steps."""
    return all(norm.live == "nothing" and norm.slots == 1 for norm in (loop.norms.x, loop.norms.h))


def _layer(loop: Loop):
    match loop.cell:
        case cells.LSTM():
            return torch.lstm
        case cells.GRU(reset="ott2016"):
            return torch.gru
        case cells.RNN(activation="tanh"):
            return torch.rnn_tanh
        case cells.RNN(activation="relu"):
            return torch.rnn_relu
    return None
