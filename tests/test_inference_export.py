"""What leaves the house: C that equals the model in whole numbers, ONNX that equals the packed model."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("safetensors")

from lowbit import train
from lowbit.inference import c_source, deploy, fixed, model, onnx_graph
from lowbit.registry import InputError
from lowbit.spec import RunSpec

CASES = [
    ("lstm", "binary"),
    ("lstm(normalize_cell=True)", "ternary"),
    ("gru", "uniform(bits=4)"),
    ("rnn", "lsq(bits=8)"),
]
SYMBOLS = np.random.default_rng(0).integers(0, 16, 60)


def packed(path, cell="lstm", quantizer="ternary", more="", **choices):
    from lowbit import evaluate

    budget = f"smoke(hidden=19, calibration=2, batch=4, steps=8{more})"
    spec = RunSpec(cell=cell, quantizer=quantizer, budget=budget, **choices)
    network = train.build(spec)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    return deploy.write(network, spec, path, symbols=spec.dataset != "digits")


def said(function, start, symbols):
    state, logits = start, []
    for symbol in symbols:
        y, state = function(int(symbol), state)
        logits.append(y)
    return np.array(logits)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize(("cell", "quantizer"), CASES)
def test_whole_numbers_alone_say_nearly_the_same(cell, quantizer, bits, tmp_path):
    path = packed(tmp_path / "m.safetensors", cell, quantizer, ", layers=2")
    whole, real = fixed.Fixed(path, bits), model.load(path, 32)
    symbols = SYMBOLS[:20] % real.about["inputs"]
    y, z = said(whole.step, whole.start(), symbols) / 2**12, said(real.step, real.start(), symbols)
    # The rounding of h, and that of the readout to eight bits a weight.
    bound = np.abs(real.readout).sum(1).max() * 16 / 2**bits + np.abs(real.readout).max() * 19 / 127
    assert np.abs(y - z).max() < bound
    assert np.corrcoef(y.ravel(), z.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize(("cell", "quantizer"), CASES)
def test_exported_c_equals_the_model_in_whole_numbers(cell, quantizer, bits, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    path = packed(tmp_path / "m.safetensors", cell, quantizer, ", layers=2")
    _, source = c_source.export(path, tmp_path, "net", bits)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", tmp_path / "net.so", source], check=True)
    library = ctypes.CDLL(str(tmp_path / "net.so"))
    whole = fixed.Fixed(path, bits)
    state = ctypes.create_string_buffer(2 * 19 * (2 + 4))
    logits = (ctypes.c_int32 * whole.about["outputs"])()
    library.net_start(state)
    expected = whole.start()
    for symbol in SYMBOLS % whole.about["inputs"]:
        library.net_step(state, int(symbol), logits)
        y, expected = whole.step(int(symbol), expected)
        assert list(logits) == y.tolist()


def test_exported_c_has_no_heap_and_no_floating_point(tmp_path):
    for file in c_source.export(packed(tmp_path / "m.safetensors"), tmp_path):
        text = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.S)
        assert not re.search(r"\b(float|double|malloc|calloc|alloca|free)\b|\d\.\d", text)
        assert set(re.findall(r"#include (\S+)", text)) <= {"<stdint.h>", '"model.h"'}


def test_the_table_of_tanh_is_near_to_tanh(tmp_path):
    whole = fixed.Fixed(packed(tmp_path / "m.safetensors"))
    z = np.arange(-(2**17), 2**17, 97)
    np.testing.assert_allclose(whole._tanh(z) / 2**15, np.tanh(z / 2**12), atol=2e-4)
    np.testing.assert_allclose(whole._sigmoid(z) / 2**15, 1 / (1 + np.exp(-z / 2**12)), atol=2e-4)


def test_models_without_a_fixed_point_form_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    for words, choices in [
        ("no multiples of one step", {"quantizer": "exponential"}),
        ("no features and no embedding", {"more": ", embedding=5"}),
        ("learned its start", {"more": ", start='learned'"}),
    ]:
        with pytest.raises(InputError, match=words):
            fixed.Fixed(packed(path, **choices))
    with pytest.raises(InputError, match="2 to 12 bits"):
        fixed.Fixed(path, 16)
    with pytest.raises(InputError, match="no name in C"):
        c_source.export(path, tmp_path, "a model")


@pytest.mark.parametrize(
    ("choices", "symbols"),
    [
        ({"cell": "lstm(normalize_cell=True)", "more": ", layers=2"}, True),
        ({"cell": "gru", "quantizer": "binary"}, True),
        ({"cell": "rnn", "quantizer": "exponential", "norm": "weight"}, True),
        ({"more": ", embedding=5", "quantized": "input+recurrent+embedding+readout"}, True),
        ({"dataset": "digits", "quantizer": "uniform(bits=3)"}, False),
    ],
    ids=["stacked", "binary", "float", "embedding", "features"],
)
def test_onnx_says_what_the_packed_model_says(choices, symbols, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = packed(tmp_path / "m.safetensors", **choices)
    session = runtime.InferenceSession(onnx_graph.export(path, tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    streams = model.load(path, 8)
    state, about = streams.start(batch=2), streams.about
    names = ["h", "c"][: state.layers[0].shape[1]]
    given = {name: np.zeros((about["layers"], 2, about["units"]), np.float32) for name in names}
    random = np.random.default_rng(0)
    for _ in range(10):
        x = random.integers(0, about["inputs"], 2) if symbols else random.random((2, about["inputs"]), np.float32)
        y, *ends = session.run(None, {"x": x, **given})
        given = dict(zip(names, ends, strict=True))
        z, state = streams.step(x, state)
        np.testing.assert_allclose(y, z, atol=2e-5)


def test_onnx_keeps_weights_packed(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = packed(tmp_path / "m.safetensors", more=", embedding=5")
    graph = onnx.load(onnx_graph.export(path, tmp_path / "m.onnx")).graph
    held = sum(len(each.raw_data) for each in graph.initializer if each.data_type == onnx.TensorProto.UINT8)
    rows = 4 * 19
    assert held <= rows * (5 + 19) / 5 + 4  # five trits a byte
    assert {node.domain for node in graph.node} == {""}
