"""The law of export: an exported network has the deployed score of the record, or is refused in one line.

Sharing statistics over time may make the validation score worse by `sharing.COST` or better by `sharing.GAIN`, which
`pack` measures, and the test score by twice as much, as these are other items; activations of b bits have a precision
of 2^(1 - b), by which they may change it, too; and where answers are counted, one of them may change.
"""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import torch

pytest.importorskip("numba")
pytest.importorskip("safetensors")

import lowbit
from lowbit import quantizers
from lowbit.inference import c_source, check, fixed, model, onnx_graph, sharing
from lowbit.layers import cells, networks, norm
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import train

FEW = "updates=60, evaluate_every=30, calibration=4, valid_limit=1000, test_limit=1000"
SMALL = f"smoke(hidden=16, {FEW})"
STACKED = f"smoke(hidden=16, layers=2, bidirectional=False, {FEW})"
CURVED = f"smoke(hidden=16, optimizer='adam', {FEW})"
TASKS = {
    "char-lm": "markov",
    "classify": "digits",
    "copy": "copy_memory(delay=5)",
    "regress": "adding(length=20)",
    "music": "jsb",
    "ctc": "an4",
    "word-lm": "ptb_word",
}
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def inputs_of(x):
    """Returns the inputs of a network in the format of packed models."""
    return np.ascontiguousarray(x.numpy() if x.is_floating_point() else x.numpy().astype(np.int64))


def of_model(path, bits):
    streams = model.load(path, bits)
    return lambda x, state: streams.run(x, state or streams.start(batch=x.shape[1]))


def of_onnx(path):
    runtime = pytest.importorskip("onnxruntime")
    file = onnx_graph.export(path, path.with_suffix(".onnx"))
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(x, state):
        if state is None:
            sizes = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
            state = {
                entry.name: np.zeros([x.shape[1] if n == "batch" else n for n in entry.shape], sizes[entry.type])
                for entry in session.get_inputs()
                if entry.name != "x"
            }
        outputs = []
        for row in x:
            results = dict(zip(names, session.run(None, {"x": row, **state}), strict=True))
            state = {name: results[f"{name}_next"] for name in state}
            outputs.append(results["y"])
        return np.array(outputs), state

    return run


def of_c(path, bits):
    """Runs exported C, built by the compiler of this machine, one sequence after the other."""
    _, source, _ = c_source.export(path, path.parent, "net", bits)
    flags = ["-O1", "-std=c99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([COMPILER, *flags, "-o", path.parent / f"net{bits}.so", source], check=True)
    library, whole = ctypes.CDLL(str(path.parent / f"net{bits}.so")), fixed.load(path, bits)
    about = whole.about
    size = about["layers"] * about["units"] * 6 + 8

    def run(x, state):
        states = state or [ctypes.create_string_buffer(size) for _ in range(x.shape[1])]
        y = np.empty((*x.shape[:2], about["outputs"]), np.int32)
        inputs = x if about["symbols"] else whole.quantize(x).astype(np.int16)
        for sequence, memory in enumerate(states):
            if state is None:
                library.net_start(memory)
            for t in range(len(x)):
                row = inputs[t, sequence]
                row = int(row) if about["symbols"] else np.ascontiguousarray(row).ctypes.data_as(ctypes.c_void_p)
                library.net_step(memory, row, y[t, sequence].ctypes.data_as(ctypes.c_void_p))
        return y / np.float32(2**12), states

    return run


def score(run, spec):
    """Returns the dataset's metric on the test split as deployed, and the number of points."""
    totals, points, state = 0.0, 0, None
    at_end = isinstance(train.build(spec), networks.registry["classify"])
    for batch in spec.data.alone("test", spec.recipe.test_limit):
        y, state = run(inputs_of(batch.x), None if batch.fresh else state)
        if at_end:
            y = y[-1] if batch.lengths is None else y[batch.lengths - 1, np.arange(y.shape[1])]
        y = torch.from_numpy(np.asarray(y, np.float32))
        totals += spec.data.metric.total(y, batch).item()
        points += spec.data.metric.points(batch)
    return spec.data.metric(totals, points), points


def exported(path):
    """Returns every form of a packed model, with the bits of its activations; only C may be refused."""
    forms = [(f"{bits} bits", bits, of_model(path, bits)) for bits in (32, 12, 8)]
    forms.append(("onnx", 8, of_onnx(path)))
    if COMPILER and not refusal(fixed.load, path):
        forms += [(f"C, {bits} bits", bits, of_c(path, bits)) for bits in (12, 8)]
    return forms


def refusal(function, *arguments):
    """Returns the error message of a function; empty where there is none."""
    try:
        function(*arguments)
    except InputError as error:
        return str(error)
    return ""


def check_law(tmp_path, **choices):
    """Checks the law for one run."""
    spec = RunSpec(**choices)
    try:
        record = lowbit.recall(spec)
    except InputError as error:
        pytest.skip(f"no data: {error}")
    own = record.metrics["deployed"]
    path = lowbit.pack(record, tmp_path / "m.safetensors")
    about = check.read(path)[1]
    shared = about.get("sharing", {"own": 0, "shared": 0})
    assert -sharing.GAIN * shared["own"] <= shared["shared"] - shared["own"] <= sharing.COST * shared["own"]
    for name, bits, run in exported(path):
        exported_score, points = score(run, spec)
        one = 100 / points if spec.data.metric.unit.startswith("%") else 0
        rounding = 2.0 ** (1 - bits) * own + one
        assert -2 * sharing.GAIN * own - rounding <= exported_score - own <= 2 * sharing.COST * own + rounding, name


@pytest.mark.parametrize(("task", "cell"), [("char-lm", "gru"), ("classify", "lstm")])
def test_an_exported_network_scores_as_its_record(task, cell, tmp_path):
    check_law(tmp_path, dataset=TASKS[task], cell=cell, budget=SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("cell", check.GATES)
def test_every_task_and_cell_keeps_its_score_when_exported(cell, task, tmp_path):
    check_law(tmp_path, dataset=TASKS[task], cell=cell, budget=STACKED)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", quantizers.names())
@pytest.mark.parametrize("dataset", ["markov", "digits"])
def test_every_quantizer_keeps_its_score_when_exported(dataset, quantizer, tmp_path):
    fits = quantizers.build(quantizer).fits
    parts = "+".join(part for part in ("input", "recurrent") if part in fits)
    check_law(tmp_path, dataset=dataset, quantizer=quantizer, quantized=parts, budget=CURVED)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("name", [name for name in norm.names() if issubclass(norm.registry[name], norm.Affine)])
def test_every_norm_keeps_its_score_when_exported(name, cell, tmp_path):
    check_law(tmp_path, dataset="digits", norm=name, cell=cell, budget=SMALL)


@pytest.mark.slow  # trains three networks
@pytest.mark.parametrize("quantizer", ["ternary", "binary", "full"])
def test_exported_digits_have_the_score_of_their_record(quantizer, tmp_path):
    spec = RunSpec(dataset="digits", quantizer=quantizer, budget="tour")
    own = lowbit.recall(spec).metrics["deployed"]
    path = lowbit.pack(spec, tmp_path / "m.safetensors")
    forms = exported(path)
    assert len(forms) == 6 if COMPILER else 4
    for name, _, run in forms:
        assert score(run, spec)[0] == pytest.approx(own, abs=0.4), name


def refused(tmp_path, monkeypatch, **choices):
    """Returns the message that says why there is no packed model; nothing may be trained before it."""
    monkeypatch.setattr(train, "recall", None)
    line = refusal(lowbit.pack, RunSpec(**choices), tmp_path / "m.safetensors")
    assert line
    assert "\n" not in line
    return line


def test_the_law_covers_every_task():
    assert {RunSpec(dataset=name).data.task: task for task, name in TASKS.items()} == {task: task for task in TASKS}
    assert {*TASKS, "cloze"} == set(networks.names())  # which reads both ways, and is refused


def test_a_run_without_a_packed_form_is_refused_before_training(tmp_path, monkeypatch):
    for cell in {*cells.names(), "gru(reset='cho2014')", "rnn(activation='relu')"} - set(check.GATES):
        assert "known: gru, lstm" in refused(tmp_path, monkeypatch, cell=cell)
    for name in norm.names():
        if not issubclass(norm.registry[name], norm.Affine):
            assert "known: batch, batch_step" in refused(tmp_path, monkeypatch, norm=name)
    assert "known: full" in refused(tmp_path, monkeypatch, activations="binary")
    both = refused(tmp_path, monkeypatch, dataset="digits", budget="smoke(bidirectional=True)")
    assert both == refused(tmp_path, monkeypatch, dataset="books_cloze")
    assert "train one that can" in both


def test_pack_reports_the_cost_of_sharing(tmp_path):
    spec = RunSpec(dataset="digits", budget=f"smoke(hidden=16, {FEW.replace('60', '150')})")
    with pytest.warns(UserWarning, match="share norm statistics take the validation score from"):
        path = lowbit.pack(spec, tmp_path / "m.safetensors", separate_steps=0)
    cost = check.read(path)[1]["sharing"]
    assert cost["kept"] == 0
    assert cost["own"] != cost["shared"]
    assert check.read(lowbit.pack(spec, path))[1]["sharing"]["kept"] == 63
    with pytest.raises(InputError, match="count from 0"):
        lowbit.pack(spec, path, separate_steps=-1)
