#!/usr/bin/env bash
# torch 2.13.0, torch.utils.flop_counter.FlopCounterMode: a float32 nn.LSTM on a CPU costs nothing.
#
# One would guess that the counter of torch counts the layers of torch, or says what it passes by. nn.GRU and nn.RNN
# are counted to the operation. nn.LSTM in float32 runs as one call of oneDNN that the counter does not know, and
# is counted as 0, backward pass included, silently. The same layer in float64 runs as single products and is counted.
# fvcore 0.1.5 has 0 as well, and lists the operator in `unsupported_ops()`.
#
# It matters since operations saved are the headline of low-bit networks: a table with an LSTM, a GRU and a readout
# counts the readout alone in the LSTM's row, and every ratio against it is wrong.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 torch==2.13.0
"$work/venv/bin/python" - <<'PY'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__)
steps, batch, inputs, hidden = 10, 3, 64, 128


def share(layer, gates, dtype, backward=False):
    """Counted operations over those of the products."""
    layer, x = layer(inputs, hidden).to(dtype), torch.randn(steps, batch, inputs, dtype=dtype)
    with FlopCounterMode(display=False) as counter:
        y = layer(x)[0]
        if backward:
            y.sum().backward()
    return counter.get_total_flops() / (2 * steps * batch * gates * hidden * (inputs + hidden))


if not torch.backends.mkldnn.is_available():
    print("this build of torch has no oneDNN, which hides the LSTM: does not apply")
    raise SystemExit
for layer, gates in ((nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)):
    for dtype in (torch.float32, torch.float64):
        forward, both = share(layer, gates, dtype), share(layer, gates, dtype, backward=True)
        print(f"{layer.__name__} {dtype}: {forward:.2f} of the products' operations; with the backward pass {both:.2f}")
        if layer is nn.LSTM and dtype is torch.float32:
            assert forward == both == 0
        else:
            assert forward == 1
            assert both > 2
model = nn.LSTM(inputs, hidden, 2)
with FlopCounterMode(display=False) as counter, torch.no_grad():
    nn.Linear(hidden, 10)(model(torch.randn(steps, batch, inputs))[0])
print("an LSTM of two layers and a readout of 10 outputs:", counter.get_total_flops(), "operations")
assert counter.get_total_flops() == 2 * steps * batch * hidden * 10, "those of the readout alone"
PY
