#!/usr/bin/env bash
# gguf 0.19.0: the 4-bit block formats have 16 levels and cannot hold the 2 of a binary or the 3 of a ternary matrix.
#
# One would guess that weights of -0.1 and +0.1 are exact in any format with 16 levels and a scale for each block.
# Q4_0 takes the block's first weight of largest size, sign and all, for code -8, and the opposite sign would need
# code +8, which does not exist: it is cut to +7, an eighth too small. Which sign loses changes from block to block.
# Q5_0 is the same with a sixteenth. Q4_1 spans from the least to the largest weight in 15 steps: both ends are
# exact, and every zero of a ternary matrix comes back as 1/15 of the level, all with one sign, which one hanging on
# how the scale rounds. Q8_0 is good.
#
# It matters since a network whose two levels are unequal has a bias in each product that grows with the hidden size.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 gguf==0.19.0
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from gguf import GGMLQuantizationType as Format
from gguf.quants import dequantize, quantize

print("gguf", version("gguf"), "numpy", np.__version__)
random = np.random.default_rng(0)
binary = random.choice([-1, 1], (1024, 256)).astype(np.float32)
ternary = random.choice([-1, 0, 1], (1024, 256)).astype(np.float32)


def back(weights, name):
    read = dequantize(quantize(weights, Format[name]), Format[name])
    levels = np.unique(read.astype(float).round(4))
    difference = np.sqrt(np.mean((read - weights) ** 2) / np.mean(weights**2))
    shift = np.mean(np.sum(read - weights, 1))
    print(f"{name}: levels {levels.tolist()}, error {difference:.1%}, shift of a row of 256 weights {shift:+.2f}")
    return read, levels, difference


print("binary weights of -1 and +1:")
for name, small in (("Q4_0", 0.875), ("Q5_0", 0.9375)):
    read, levels, difference = back(binary, name)
    np.testing.assert_allclose(levels, [-1, -small, small, 1], atol=2e-3)
    blocks, signs = read.reshape(-1, 32), binary.reshape(-1, 32)
    lost = np.abs(blocks) < 0.97
    assert (lost == (signs != signs[:, :1])).all(), "the sign that is not the block's first one loses"
assert difference > 0.04
for name in ("Q4_1", "Q5_1", "Q8_0"):
    assert back(binary, name)[2] < 1e-3
print("ternary weights of -1, 0 and +1:")
for name, zero in (("Q4_1", 1 / 15), ("Q5_1", 1 / 31)):
    read, levels, difference = back(ternary, name)
    zeros = read[ternary == 0]
    np.testing.assert_allclose(zeros, np.sign(zeros[0]) * zero, atol=2e-3)  # no zero is left, all are on one side
np.testing.assert_allclose(back(ternary, "Q4_0")[1], [-1, -0.875, 0, 0.875, 1], atol=2e-3)
assert back(ternary, "Q8_0")[2] < 1e-3
PY
