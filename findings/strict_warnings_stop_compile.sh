#!/usr/bin/env bash
# torch 2.13.0, torch.compile: with warnings as errors it stops on a quantized weight that is left out of compilation.
#
# One would guess that a warning which torch raises and hides by itself never reaches the user. The compiler asks every
# tensor that comes back from uncompiled code for its `.grad`; of one that is not a leaf this warns, and torch hides it
# by replacing `warnings.showwarning`, which is not reached where a filter makes warnings errors, as pytest's
# `filterwarnings = error` does. So `torch.compile` fails with InternalTorchDynamoError.
#
# It matters since rounding with a straight-through gradient is often kept out of compilation, and its result is just
# such a tensor: a test suite with strict warnings fails where the program runs.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 torch==2.13.0
"$work/venv/bin/python" - <<'PY'
import warnings

import torch

print("torch", torch.__version__)


@torch.compiler.disable
def binary(weights):
    """Signs forwards, the identity backwards."""
    return weights + (weights.sign() - weights).detach()


def layer(weights, x):
    """A product with binary weights, after something to compile."""
    y = torch.relu(x)
    return binary(weights) @ y


def outcome(weights, x, action):
    """What a first call of the compiled layer does under a filter for all warnings."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        try:
            torch.compile(layer, backend="eager")(weights, x)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).split('. ')[0]}"
    return "runs"


weights, x = torch.randn(4, 4, requires_grad=True), torch.randn(4)
results = {action: outcome(weights, x, action) for action in ("default", "always", "error")}
for action, result in results.items():
    print(f"filter {action!r}: {result}")
frozen = outcome(weights.detach(), x, "error")
print("filter 'error', weights without a gradient:", frozen)
assert results["default"] == results["always"] == frozen == "runs"
assert "InternalTorchDynamoError" in results["error"] and ".grad attribute" in results["error"]
PY
