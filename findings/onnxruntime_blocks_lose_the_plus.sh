#!/usr/bin/env bash
# onnxruntime 1.32.0, MatMulNBitsQuantizer: binary and ternary weights do not survive the 2- and 4-bit quantizer.
#
# One would guess that 2 bits hold a ternary matrix and 4 bits any of the two. With `is_symmetric=True` the block's
# largest weight, with its sign, becomes code -2 or -8, and the opposite level is cut to +1 or +7: of two equal
# levels one comes back halved (2 bits) or an eighth too small (4 bits). Without it the span from the lowest to the
# highest weight is cut into 3 or 15 steps and moved until zero is on one, and both levels are off by a third or a
# fifteenth. Neither setting is exact; codes and scales written by hand into a MatMulNBits node are.
#
# It matters since a low-bit LSTM written out as products with elementwise gates is what this tool is run on, and
# the kernel itself could hold the weights.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnx-ir==1.1.0 onnxruntime==1.32.0
"$work/venv/bin/python" - <<'PY'
import logging

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

logging.disable(logging.INFO)
print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
random = np.random.default_rng(0)
FLOAT = onnx.TensorProto.FLOAT
# bits, is_symmetric, and what the lower and the upper level are off by
LOST = (2, True, 0, 1 / 2), (4, True, 0, 1 / 8), (2, False, 1 / 3, 1 / 3), (4, False, 1 / 15, 1 / 15)


def back(weights, bits, symmetric):
    """The weights as the quantized model applies them, in float32."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    sizes = dict(zip("xy", weights.shape, strict=True))
    ends = [helper.make_tensor_value_info(name, FLOAT, ["n", size]) for name, size in sizes.items()]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    quantizer = MatMulNBitsQuantizer(model, bits=bits, block_size=32, is_symmetric=symmetric, accuracy_level=1)
    quantizer.process()
    assert [node.op_type for node in quantizer.model.model.graph.node] == ["MatMulNBits"]
    session = onnxruntime.InferenceSession(quantizer.model.model.SerializeToString())
    return session.run(None, {"x": np.eye(len(weights), dtype=np.float32)})[0]


for levels in ([-1, 1], [-1, 0, 1]):
    weights = random.choice(levels, (64, 64)).astype(np.float32)
    weights[0::32] = -1  # the first of each block, so that all blocks lose the same sign
    for bits, symmetric, low, high in LOST:
        read = back(weights, bits, symmetric)
        share = np.sqrt(np.mean((read - weights) ** 2) / np.mean(weights**2))
        found = np.unique(read.astype(float).round(3)).tolist()
        print(f"levels {levels}, {bits} bits, is_symmetric={symmetric}: {found}, error {share:.0%}")
        expected = np.where(weights > 0, high, np.where(weights < 0, low, 0))
        np.testing.assert_allclose(np.abs(read - weights), expected, atol=2e-3)
PY
