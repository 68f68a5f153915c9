#!/usr/bin/env bash
# onnxsim 0.8.1, onnxslim 0.1.98 and onnxruntime 1.32.0: the ONNX file of packed weights grows twelve times.
#
# One would guess that a tool which simplifies a model makes it smaller, or leaves it. Where 2-bit codes are packed into
# bytes and looked up by Cast and Gather inside the graph, all of it is constant; each of the three replaces it by the
# float32 weights, and the numbers stay right, so that no check fails. onnxsim and onnxslim do it by default,
# onnxruntime when it writes `optimized_model_filepath`. The same weights in INT4 with DequantizeLinear are left
# alone by all three: the operator is exempt, an equal chain of ordinary ones is not.
#
# It matters since the small file was the point, and simplifying is the usual last step before a device. It stays
# with `skip_constant_folding=True` of onnxsim, `size_threshold` of onnxslim, ORT_DISABLE_ALL of onnxruntime.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxsim==0.8.1 onnxslim==0.1.98
"$work/venv/bin/python" - "$work/optimized.onnx" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import onnxsim
import onnxslim
from onnx import TensorProto, helper, numpy_helper

print(*(f"{module.__name__} {module.__version__}" for module in (onnx, onnxruntime, onnxsim, onnxslim)))
units, random, path = 128, np.random.default_rng(0), sys.argv[1]
nodes, constants = {"packed": [], "int4": []}, {"packed": [], "int4": []}
table = np.array([[(byte >> 2 * k & 3) - 1 for k in range(4)] for byte in range(256)], np.float32) * np.float32(0.1)
for name in "WR":
    codes = random.integers(-1, 2, (4 * units, units))
    packed = ((codes + 1).reshape(4 * units, units // 4, 4) << 2 * np.arange(4)).sum(-1).astype(np.uint8)
    arrays = {"bytes": packed, "table": table, "shape": np.array([1, 4 * units, units])}
    constants["packed"] += [numpy_helper.from_array(array, name + key) for key, array in arrays.items()]
    nodes["packed"] += [helper.make_node("Cast", [name + "bytes"], [name + "index"], to=TensorProto.INT32)]
    nodes["packed"] += [helper.make_node("Gather", [name + "table", name + "index"], [name + "levels"])]
    nodes["packed"] += [helper.make_node("Reshape", [name + "levels", name + "shape"], [name])]
    codes = helper.make_tensor(name + "codes", TensorProto.INT4, [1, 4 * units, units], codes.ravel().tolist())
    constants["int4"] += [codes, numpy_helper.from_array(np.float32(0.1), name + "scale")]
    nodes["int4"] += [helper.make_node("DequantizeLinear", [name + "codes", name + "scale"], [name])]


def model(form):
    lstm = helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=units)
    shapes = {"x": ["t", 1, units], "y": ["t", 1, 1, units]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([*nodes[form], lstm], "g", ends[:1], ends[1:], constants[form])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return built.SerializeToString()


x = random.normal(size=(5, 1, units)).astype(np.float32)
for form, grows in (("packed", True), ("int4", False)):
    data = model(form)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = path
    onnxruntime.InferenceSession(data, options)
    read = {"onnxruntime": onnx.load(path).SerializeToString()}
    read["onnxsim"] = onnxsim.simplify(onnx.load_from_string(data))[0].SerializeToString()
    read["onnxslim"] = onnxslim.slim(onnx.load_from_string(data)).SerializeToString()
    for tool, after in read.items():
        print(f"{form}: {len(data)} bytes, after {tool} {len(after)}, {len(after) / len(data):.1f} times")
        y, z = (onnxruntime.InferenceSession(file).run(None, {"x": x})[0] for file in (data, after))
        np.testing.assert_allclose(y, z, atol=1e-5)
        assert len(after) > 10 * len(data) if grows else len(after) < 1.5 * len(data)
data = model("packed")
kept = onnxsim.simplify(onnx.load_from_string(data), skip_constant_folding=True)[0].ByteSize()
thin = onnxslim.slim(onnx.load_from_string(data), size_threshold=1000).ByteSize()
print(f"packed: {kept} bytes after onnxsim without folding, {thin} after onnxslim with a threshold")
assert max(kept, thin) < 1.5 * len(data)
PY
