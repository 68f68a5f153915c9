#!/usr/bin/env bash
# torch 2.13.0, torch.nn.utils.prune: pruning a binary LSTM by magnitude removes whole gates.
#
# One would guess that weights of equal size are pruned at random, or refused, or at least spread. l1_unstructured
# asks topk for the smallest ones, and topk settles ties by place: of a binary recurrent matrix a quarter pruned is
# the whole cell gate, half is the cell gate and the output gate. Of a ternary matrix half
# pruned is all zeros, which were no weights, and then whole rows of the last two gates. Nothing is said.
#
# It matters since "binary and half pruned" is a natural point to measure; what is measured is a network whose
# cell no longer sees its own past. `prune.random_unstructured` is the right tool where all weights are of one size.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 torch==2.13.0
"$work/venv/bin/python" - <<'PY'
import torch
from torch import nn
from torch.nn.utils import prune

torch.manual_seed(0)
print("torch", torch.__version__)
print("share of the recurrent weights that is left of the input, forget, cell and output gate:")


def left(levels, amount, hidden, method=prune.l1_unstructured):
    """Shares left by gate, and the share of whole rows that are gone."""
    layer = nn.LSTM(32, hidden)
    codes = torch.tensor(levels)[torch.randint(len(levels), (4 * hidden, hidden))]
    layer.weight_hh_l0.data = 0.1 * codes
    method(layer, "weight_hh_l0", amount)
    mask = layer.weight_hh_l0_mask
    shares = [gate.mean().item() for gate in mask.chunk(4)]
    rows = (mask.sum(1) == 0).float().mean().item()
    gates = " ".join(f"{share:.2f}" for share in shares)
    print(f"{len(levels)} levels, {hidden} units, {method.__name__} {amount}: {gates},", end=" ")
    print(f"{rows:.0%} of the rows gone, {(layer.weight_hh_l0 == 0).float().mean():.0%} of the weights are zero")
    return shares, rows


for hidden in (64, 100, 256):
    for amount, gates, lost in ((0.25, 1, 0.23), (0.5, 2, 0.48)):
        shares, rows = left([-1.0, 1.0], amount, hidden)
        assert sorted(shares)[gates - 1] < 0.02, "whole gates are gone"
        assert sorted(shares)[gates] > 0.98, "and the others are whole"
        assert rows > lost
    shares, rows = left([-1.0, 0.0, 1.0], 0.5, hidden)
    assert rows > 0.15
    assert max(shares) - min(shares) > 0.2
    shares, rows = left([-1.0, 1.0], 0.5, hidden, prune.random_unstructured)
    assert max(shares) - min(shares) < 0.1
    assert rows == 0
PY
