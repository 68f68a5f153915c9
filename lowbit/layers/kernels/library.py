"""torch's own recurrent layers, where no norm is between a product and its gates."""

import dataclasses
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lowbit.layers import kernels
from lowbit.layers.cells import GRU, LSTM, RNN
from lowbit.layers.kernels import Kernel, Loop

SYMBOLS = 2048  # more of them, one-hot, would cost more than the loop
LAYERS = {LSTM(): torch.lstm, GRU(): torch.gru, RNN(): torch.rnn_tanh, RNN("relu"): torch.rnn_relu}


@kernels.register
@dataclasses.dataclass(frozen=True)
class Library(Kernel):
    """`torch.lstm`, `torch.gru`, `torch.rnn_tanh` and `torch.rnn_relu` over quantized weights.

    A norm that is a fixed scale and shift of each row goes into the weights.
    """

    rank: ClassVar[int] = 2

    def obstacle(self, loop: Loop) -> str:
        """A cell that is not torch's, quantized activations, or a norm with moments or with several slots."""
        if loop.cell not in LAYERS:
            return f"torch has no layer for cell {loop.cell!r}"
        if loop.x.device.type != "cpu":  # there cuDNN would copy the quantized weights together at every call
            return "not on a CPU"
        if loop.activations.levels:
            return "torch's layers do not quantize activations"
        if not loop.x.is_floating_point() and loop.weights.x.shape[1] > SYMBOLS:
            return f"more than {SYMBOLS} symbols"
        fixed = all(norm.statistics == "nothing" and norm.slots == 1 for norm in (loop.norms.x, loop.norms.h))
        return "" if fixed else "the norm changes from step to step"

    def run(self, loop: Loop) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One call."""
        w, start = loop.weights, tuple(value[None].contiguous() for value in loop.values)
        x = loop.x if loop.x.is_floating_point() else F.one_hot(loop.x, w.x.shape[1]).to(w.x.dtype)
        w_x, bias_x = loop.norms.x.fold_into(w.x, w.bias_x)
        w_h, bias_h = loop.norms.h.fold_into(w.h, w.bias_h)
        settings = True, 1, 0.0, torch.is_grad_enabled(), False, False
        outputs, *last = LAYERS[loop.cell](
            x, start if len(start) > 1 else start[0], [w_x, w_h, bias_x, bias_h], *settings
        )
        return outputs, tuple(value[0] for value in last)
