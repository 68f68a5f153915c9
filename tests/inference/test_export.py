"""Exports: C equals the integer model, ONNX equals the packed model."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("safetensors")

from lowbit.inference import c_source, deploy, fixed, model, onnx_graph, whole
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import train

CASES = [
    ("lstm", "binary"),
    ("lstm(normalize_cell=True)", "ternary"),
    ("gru", "uniform(bits=4)"),
    ("rnn", "lsq(bits=8)"),
]
SYMBOLS = np.random.default_rng(0).integers(0, 16, 60)


def packed(path, cell="lstm", quantizer="ternary", options="", separate_steps=0, hidden=19, **choices):
    from lowbit.training import evaluate

    budget = f"smoke(hidden={hidden}, calibration=2, batch=4, steps=8{options})"
    spec = RunSpec(cell=cell, quantizer=quantizer, budget=budget, **choices)
    network = train.build(spec)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    return deploy.write(network, spec, path, separate_steps, symbols=spec.dataset != "digits")


def logits_of(function, start, symbols):
    state, logits = start, []
    for symbol in symbols:
        y, state = function(int(symbol), state)
        logits.append(y)
    return np.array(logits)


def onnx_session(path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    file = onnx_graph.export(path, path.with_suffix(".onnx"))
    return runtime.InferenceSession(file, providers=["CPUExecutionProvider"])


def onnx_state(state):
    """Returns the state of a packed model of one layer in the format of ONNX."""
    parts = np.moveaxis(state.layers[0], 1, 0)
    return {name: part[None].copy() for name, part in zip("hc", parts, strict=False)}


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize(("cell", "quantizer"), CASES)
def test_integer_arithmetic_gives_nearly_the_same_logits(cell, quantizer, bits, tmp_path):
    path = packed(tmp_path / "m.safetensors", cell, quantizer, ", layers=2")
    numbers, real = fixed.load(path, bits), model.load(path, 32)
    symbols = SYMBOLS[:20] % real.about["inputs"]
    y, z = logits_of(numbers.step, numbers.start(), symbols) / 2**12, logits_of(real.step, real.start(), symbols)
    # The rounding of h, and that of the readout to eight bits a weight.
    bound = np.abs(real.readout).sum(1).max() * 16 / 2**bits + np.abs(real.readout).max() * 19 / 127
    assert np.abs(y - z).max() < bound
    assert np.corrcoef(y.ravel(), z.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize(("cell", "quantizer"), CASES)
def test_exported_c_equals_the_integer_model(cell, quantizer, bits, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    path = packed(tmp_path / "m.safetensors", cell, quantizer, ", layers=2")
    _, source, _ = c_source.export(path, tmp_path, "net", bits)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", tmp_path / "net.so", source], check=True)
    library = ctypes.CDLL(str(tmp_path / "net.so"))
    numbers = fixed.load(path, bits)
    state = ctypes.create_string_buffer(2 * 19 * (2 + 4))
    logits = (ctypes.c_int32 * numbers.about["outputs"])()
    library.net_start(state)
    expected = numbers.start()
    for symbol in SYMBOLS % numbers.about["inputs"]:
        library.net_step(state, int(symbol), logits)
        y, expected = numbers.step(int(symbol), expected)
        assert list(logits) == y.tolist()


def test_exported_c_has_no_heap_and_no_floating_point(tmp_path):
    for file in c_source.export(packed(tmp_path / "m.safetensors"), tmp_path)[:2]:
        text = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.S)
        assert not re.search(r"\b(float|double|malloc|calloc|alloca|free)\b|\d\.\d", text)
        assert set(re.findall(r"#include (\S+)", text)) <= {"<stdint.h>", '"model.h"'}


def test_the_table_of_tanh_is_close_to_tanh():
    z = np.arange(-(2**17), 2**17, 97)
    np.testing.assert_allclose(whole.tanh(z) / 2**15, np.tanh(z / 2**12), atol=2e-4)
    np.testing.assert_allclose(whole.sigmoid(z) / 2**15, 1 / (1 + np.exp(-z / 2**12)), atol=2e-4)


def test_models_without_a_fixed_point_form_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    for message, choices in [
        ("no multiples of one step", {"quantizer": "exponential"}),
        ("no features and no embedding", {"options": ", embedding=5"}),
        ("learned its start", {"options": ", start='learned'"}),
    ]:
        with pytest.raises(InputError, match=message):
            fixed.load(packed(path, **choices))
    with pytest.raises(InputError, match="2 to 12 bits"):
        fixed.load(path, 16)
    with pytest.raises(InputError, match="no name in C"):
        c_source.export(path, tmp_path, "a model")


@pytest.mark.parametrize(
    ("choices", "symbols"),
    [
        ({"cell": "lstm(normalize_cell=True)", "options": ", layers=2"}, True),
        ({"cell": "gru", "quantizer": "binary"}, True),
        ({"cell": "rnn", "quantizer": "exponential", "norm": "weight"}, True),
        ({"options": ", embedding=5", "quantized": "input+recurrent+embedding+readout"}, True),
        ({"dataset": "digits", "quantizer": "uniform(bits=3)"}, False),
    ],
    ids=["stacked", "binary", "float", "embedding", "features"],
)
def test_onnx_gives_the_logits_of_the_packed_model(choices, symbols, tmp_path):
    path = packed(tmp_path / "m.safetensors", **choices)
    session = onnx_session(path)
    streams = model.load(path, 8)
    state, about = streams.start(batch=2), streams.about
    names = ["h", "c"][: state.layers[0].shape[1]]
    inputs = {name: np.zeros((about["layers"], 2, about["units"]), np.float32) for name in names}
    random = np.random.default_rng(0)
    for _ in range(10):
        x = random.integers(0, about["inputs"], 2) if symbols else random.random((2, about["inputs"]), np.float32)
        y, *ends = session.run(None, {"x": x, **inputs})
        inputs = dict(zip(names, ends, strict=True))
        z, state = streams.step(x, state)
        np.testing.assert_allclose(y, z, atol=2e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm", "lstm(normalize_cell=True)", "rnn"])
def test_onnx_has_the_statistics_of_each_step(cell, tmp_path):
    path = packed(tmp_path / "m.safetensors", cell, dataset="digits", separate_steps=3)
    session = onnx_session(path)
    streams = model.load(path, 8)
    state, inputs = streams.start(batch=2), {"t": np.zeros(2, np.int64)}
    names = [output.name for output in session.get_outputs()]
    random = np.random.default_rng(0)
    for t in range(6):
        inputs |= onnx_state(state)
        x = random.random((2, streams.about["inputs"]), np.float32)
        results = dict(zip(names, session.run(None, {"x": x, **inputs}), strict=True))
        y, state = streams.step(x, state)
        np.testing.assert_allclose(results["y"], y, atol=1e-4)
        inputs["t"] = results["t_next"]
        assert inputs["t"].tolist() == [t + 1] * 2
    inputs["t"] = np.array([0, 5])  # sequences that did not begin together
    both = session.run(["y"], {"x": x, **inputs})[0]
    alone = [session.run(["y"], {"x": x, **inputs, "t": np.full(2, t)})[0][n] for n, t in enumerate((0, 5))]
    np.testing.assert_allclose(both, alone, atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize(
    "quantizer", ["uniform(bits=8)", "laq(bits=8)", "lsq(bits=8)", "pow2(fraction_bits=7)", "uniform(bits=7)"]
)
def test_onnx_multiplies_eight_bits_exactly_on_every_processor(cell, quantizer, tmp_path):
    """Every step starts from the same state, as one number that rounds differently would change all later steps."""
    path = packed(tmp_path / "m.safetensors", cell, quantizer, ", optimizer='adam'", hidden=192, norm="weight")
    session = onnx_session(path)
    streams, random = model.load(path, 8), np.random.default_rng(0)
    state = streams.start(batch=4)
    for _ in range(20):
        # As large as a state gets: products of neighbours then leave 16 bits.
        large = np.sign(state.layers[0]) * np.maximum(np.abs(state.layers[0]), random.random(state.layers[0].shape))
        state = state._replace(layers=(large.astype(np.float32),))
        x = random.integers(0, streams.about["inputs"], 4)
        y = session.run(None, {"x": x, **onnx_state(state)})[0]
        z, state = streams.step(x, state)
        np.testing.assert_allclose(y, z, atol=1e-5)


def test_onnx_keeps_weights_packed(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = packed(tmp_path / "m.safetensors", options=", embedding=5")
    graph = onnx.load(onnx_graph.export(path, tmp_path / "m.onnx")).graph
    size = sum(len(array.raw_data) for array in graph.initializer if array.data_type == onnx.TensorProto.UINT8)
    rows = 4 * 19
    assert size <= rows * (5 + 19) / 5 + 4  # five trits a byte
    assert {node.domain for node in graph.node} == {""}
