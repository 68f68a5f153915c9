#!/usr/bin/env bash
# compressed-tensors 0.20.1 (the format of vLLM checkpoints): ternary weights in symmetric 2 bits become -4/3, 0, +2/3.
#
# One would guess that a symmetric grid of 2 bits keeps -1, 0 and +1, or at least treats both signs alike. The scale
# is the largest weight over 1.5, so that both levels fall on a tie, -1.5 and +1.5; ties go to even, -2 and +2, and
# +2 is cut to +1, the largest code. The minus comes back twice as large as the plus, for any scale and for tensors,
# channels and groups alike. In 1 bit, which the configuration takes, every weight becomes 0.
#
# It matters since every weight that is not zero loses a third of a level, plus and minus alike: a ternary row of 1000
# weights shifts its gate by some 220 levels times the mean activation. The quantizer says nothing.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 torch==2.13.0 compressed-tensors==0.20.1
"$work/venv/bin/python" - <<'PY' 2>"$work/warnings" || { cat "$work/warnings"; exit 1; }
from importlib.metadata import version

import torch
from compressed_tensors.quantization import QuantizationArgs, fake_quantize
from compressed_tensors.quantization.utils import calculate_qparams

torch.manual_seed(0)
print("compressed-tensors", version("compressed-tensors"), "torch", torch.__version__)


def back(weights, bits, strategy):
    """The weights as the quantized layer has them."""
    group = {"group_size": 32} if strategy == "group" else {}
    args = QuantizationArgs(num_bits=bits, symmetric=True, strategy=strategy, **group)
    shape = {"tensor": (1, -1), "channel": (len(weights), 1, -1), "group": (len(weights), -1, 32)}[strategy]
    blocks = weights.reshape(shape)
    low, high = blocks.amin(-1), blocks.amax(-1)
    return fake_quantize(weights, *calculate_qparams(low, high, args), args)


for strategy in ("tensor", "channel", "group"):
    for level in (0.01, 0.05, 0.1, 0.3, 1.0):
        codes = torch.randint(-1, 2, (64, 256)).float()
        read = back(level * codes, 2, strategy) / level
        expected = torch.where(codes < 0, -4 / 3, torch.where(codes > 0, 2 / 3, 0.0))
        torch.testing.assert_close(read, expected, atol=1e-3, rtol=0)
    shift = (read - codes).sum(1).mean().item()
    print(f"2 bits by {strategy}: {read.unique().tolist()}, a row of 256 weights loses {-shift:.0f} levels")
    assert shift < -40
    one = back(torch.randint(0, 2, (64, 256)) * 2.0 - 1, 1, strategy)
    print(f"1 bit by {strategy}, binary weights: {one.abs().unique().tolist()}")
    assert (one == 0).all()
    eight = back(codes, 8, strategy)
    assert (eight - codes).abs().max() < 0.01
PY
