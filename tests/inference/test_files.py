"""Damaged and foreign packed models: they are refused in one line or give correct numbers."""

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("safetensors")

from lowbit import compiled, paths
from lowbit.inference import c_source, check, deploy, file, fixed, model, onnx_graph, programs
from lowbit.quantizers import packing
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

KINDS = [
    {},
    {"cell": "gru", "quantizer": "uniform(bits=4)", "budget": ("layers=2", "embedding=5")},
    {"cell": "lstm(normalize_cell=True)", "quantizer": "binary", "dataset": "digits"},
    {"cell": "rnn", "quantizer": "full", "budget": ("start='learned'",)},
    {"cell": "lstm", "quantizer": "ttq", "norm": "weight"},
]
HERE = Path(__file__)


def packed(path, separate_steps=0, **choices):
    options = ", ".join(("hidden=9", "calibration=2", "batch=4", "steps=6", *choices.pop("budget", ())))
    spec = RunSpec(**choices, budget=f"smoke({options})")
    network = train.build(spec)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    return deploy.write(
        network, spec, path, separate_steps, spec.dataset != "digits", bits=4 if spec.quantizer == "full" else 0
    )


def rewritten(good, bad, change):
    """Returns the changed model with a valid checksum."""
    arrays, about = file.read(good)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, about)
    file.write(bad, arrays, about)
    return bad


READERS = {
    "8 bits": lambda path: outputs(model.load(path, 8)),
    "12 bits": lambda path: outputs(model.load(path, 12)),
    "32 bits": lambda path: outputs(model.load(path, 32)),
    "fixed": lambda path: fixed.load(path),
    "C": lambda path: c_source.export(path, path.parent / "c", "net"),
    "onnx": lambda path: onnx_graph.export(path, path.with_suffix(".onnx")),
    "machine": lambda path: programs.build(path, machine()),
}


def machine():
    from lowbit.hardware import accelerator

    return accelerator.build("ternary")


def inputs_of(about, steps=4):
    if about["symbols"]:
        return np.arange(steps) % about["inputs"]
    return np.random.default_rng(0).random((steps, about["inputs"]), np.float32)


def outputs(streams):
    y, _ = streams.run(inputs_of(streams.about), streams.start())
    if streams.alphabet and streams.about["symbols"]:
        streams.generate(streams.alphabet[:1], 2)
    return y


def real(path):
    """Computes the logits from the arrays with plain formulas in float64."""
    arrays, about = file.read(path)
    x, cell = inputs_of(about), about["cell"]
    if "embedding" in arrays or "embedding.codes" in arrays:
        x = file.matrix("embedding", arrays).values[x]
    for n in range(about["layers"]):
        a = {name: array.astype(np.float64) for name, array in file.layer(n, arrays).items()}
        wx, wh = (file.matrix(f"layers.{n}.{part}", arrays).values.astype(float) for part in ("input", "recurrent"))
        h, c = (a["first"][k] if "first" in a else np.zeros(about["units"]) for k in (0, -1))
        outputs = []
        for t, row in enumerate(x):
            slot = min(t, len(a["scale_h"]) - 1)
            z = (wx[:, row] if x.ndim == 1 else wx @ row) * a["scale_x"][slot] + a["shift_x"][slot]
            y = wh @ h * a["scale_h"][slot] + (a["shift_h"][slot] if "shift_h" in a else 0)
            with np.errstate(over="ignore"):
                if cell == "gru":
                    r, u = (1 / (1 + np.exp(-v)) for v in np.split(z + y, 3)[:2])
                    m = np.tanh(np.split(z, 3)[2] + r * np.split(y, 3)[2])
                    h = m + u * (h - m)
                elif cell == "rnn":
                    h = np.tanh(z + y)
                else:
                    i, f, g, o = np.split(z + y, 4)
                    i, f, o = (1 / (1 + np.exp(-v)) for v in (i, f, o))
                    c = f * c + i * np.tanh(g)
                    inner = c * a["scale_c"][slot] + a["shift_c"][slot] if "scale_c" in a else c
                    h = o * np.tanh(inner)
            outputs.append(h)
        x = np.array(outputs)
    return x @ file.matrix("readout.weight", arrays).values.T.astype(float) + arrays["readout.bias"]


def changed(random, array):
    """Returns a changed array, in one of many ways."""
    flat = array.reshape(-1)
    at = int(random.integers(flat.size))
    if array.dtype == np.float32:
        flat[at] = random.choice([np.nan, np.inf, -np.inf, 3e38, -1e30, 2e9, 1e-45, 0.0, -0.0, 7.0, -flat[at]])
    else:
        flat[at] = random.integers(0, 256) if array.dtype == np.uint8 else random.choice([-1, 0, 1, 2**40, -(2**63)])
    ways = [
        lambda: array,
        lambda: array[1:],
        lambda: np.concatenate((array, array)),
        lambda: array.T,
        lambda: array.reshape(-1),
        lambda: array[..., None],
        lambda: array[:0],
        lambda: array.astype(random.choice([np.float32, np.float64, np.float16, np.int64, np.uint8, np.int8, bool])),
        lambda: array[:, : int(random.integers(3))] if array.ndim == 2 else array[: int(random.integers(3))],
        lambda: np.sort(array)[..., ::-1],
        lambda: np.repeat(array, 2, axis=-1),
        lambda: np.zeros((int(random.integers(1, 300)), int(random.integers(0, 300))), array.dtype),
        lambda: np.zeros((1,) * int(random.integers(5)), array.dtype),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ways[0 if random.random() < 0.4 else int(random.integers(len(ways)))]()


ODD = [0, -1, 1, 2, 3, 10**9, 2**31, 2**63, 10**30, 1.5, 9.0, True, False, None, "", "a", "9", "\ud800", [], {}, [[]]]
ODD += ["lstm", "gru", "rnn", "lstm(normalize_cell=True)", "min_gru", "lstm(", "(" * 900, "x" * 10**5, "*/\n#error"]


def change(random):
    """Changes arrays, names or description."""

    def change(arrays, about):
        for _ in range(1 + int(random.integers(2))):
            names = sorted(arrays)
            name, other = (names[int(random.integers(len(names)))] for _ in range(2))
            way = int(random.integers(10))
            if way < 5:
                arrays[name] = changed(random, arrays[name])
            elif way == 5:
                del arrays[name]
            elif way == 6:
                arrays[name], arrays[other] = arrays[other], arrays[name]
            elif way == 7:
                arrays[
                    random.choice([f"layers.{int(random.integers(3))}.first", "embedding", "extra", f"{name}.8", ""])
                ] = changed(random, arrays[other].copy())
            elif way == 8:
                about[random.choice(sorted(about))] = ODD[int(random.integers(len(ODD)))]
            else:
                about["spec"] = {**about["spec"], str(random.choice(sorted(about["spec"]))): random.choice(ODD[:12])}

    return change


def fuzz(folder, count, seed):
    """Reads changed models with every reader; each must raise `InputError` or give correct numbers."""
    folder, random = Path(folder), np.random.default_rng(seed)
    models = [
        packed(folder / f"{n}-{separate_steps}.safetensors", separate_steps, **kind)
        for n, kind in enumerate(KINDS)
        for separate_steps in (0, 2)
    ]
    lines = []
    for number in range(count):
        bad = folder / "bad.safetensors"
        try:
            rewritten(models[number % len(models)], bad, change(random))
        except (OverflowError, TypeError, ValueError):  # no file holds such
            continue
        for name, reader in READERS.items():
            try:
                logits = reader(bad)
            except InputError as error:
                lines.append(str(error))
                continue
            if name == "32 bits":
                exact = real(bad)
                np.testing.assert_allclose(logits, exact, rtol=1e-3, atol=1e-3 * (1 + np.abs(exact).max()))
    assert not any("\n" in line for line in lines)
    print("refused", len(lines))


def fuzzed(tmp_path, count, seed=0):
    """Fuzzes in a subprocess, since a crash would end the tests."""
    call = f"{HERE.stem}.fuzz({str(tmp_path)!r}, {count}, {seed})"
    code = f"import sys; sys.path.insert(0, {str(HERE.parent)!r}); import {HERE.stem}; {call}"
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCE), "LOWBIT_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=3000)
    assert run.returncode == 0, run.stderr[-3000:]
    assert int(run.stdout.split()[-1]) > 3 * count


def test_changed_models_are_refused_or_right(tmp_path):
    fuzzed(tmp_path, 60)


@pytest.mark.slow
def test_thousands_of_changed_models_are_refused_or_right(tmp_path):
    fuzzed(tmp_path, 2000, seed=1)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (
            "'readout.weight' is float32 of shape",
            lambda a, b: a.update({"readout.weight": np.ones((9, 9), np.float32)}),
        ),
        (
            "'layers.0.recurrent' has 36 x 8",
            lambda a, b: a.update({"layers.0.recurrent.shape": np.array([36, 8])}),
        ),
        (
            "'layers.0.scale_h' is F64",
            lambda a, b: a.update({"layers.0.scale_h": a["layers.0.scale_h"].astype(float)}),
        ),
        ("array 'layers.0.scale_x' holds", lambda a, b: a["layers.0.scale_x"].fill(np.nan)),
        ("array 'layers.0.shift_x' is missing", lambda a, b: a.pop("layers.0.shift_x")),
        (
            "layers.0.recurrent.book has no 2 to",
            lambda a, b: a.update({"layers.0.recurrent.book": np.ones((1, 1), "f")}),
        ),
        ("'layers.0.recurrent.book' is", lambda a, b: a.update({"layers.0.recurrent.book": np.ones((1, 0), "f")})),
        ("ascending levels", lambda a, b: a.update({"layers.0.input.book": -a["layers.0.input.book"]})),
        ("past the last of 3 levels", lambda a, b: a["layers.0.recurrent.codes"].fill(255)),
        ("array 'extra' belongs to no part", lambda a, b: a.update(extra=np.ones(3, np.float32))),
        ("'units' is 9.0, must be int", lambda a, b: b.update(units=9.0)),
        ("'layers' counts from 1", lambda a, b: b.update(layers=0)),
        ("array 'layers.1.scale_x' is missing", lambda a, b: b.update(layers=10**9)),
        ("cell 'min_gru' has no such form", lambda a, b: b.update(cell="min_gru")),
        ("alphabet has 3 letters for 8", lambda a, b: b.update(alphabet="abc")),
        ("does not name dataset", lambda a, b: b.update(spec={})),
        ("'dataset' of its spec is", lambda a, b: b["spec"].update(dataset="*/\n#include")),
    ],
)
def test_the_error_of_a_contradictory_file_names_the_contradiction(message, change, tmp_path):
    bad = rewritten(packed(tmp_path / "good"), tmp_path / "bad", change)
    for name, reader in READERS.items():
        with pytest.raises(InputError) as caught:
            reader(bad)
        assert message in str(caught.value), name


def test_files_of_other_kinds_are_refused(tmp_path):
    import torch
    from safetensors.torch import save_file

    for kind in (torch.bfloat16, torch.float8_e4m3fn, torch.float16, torch.bool):
        save_file({"weights": torch.ones(3, 4).to(kind)}, tmp_path / "other")
        with pytest.raises(InputError, match="'weights' is "):
            model.load(tmp_path / "other")
    for text in ("[" * 10**5, "[1, 2]", "{", '"words"', "1" * 10**5):
        arrays = {"weights": np.ones(3, np.float32)}
        metadata = {"format": file.FORMAT, "about": text, "sha256": file.digest(arrays, text)}
        import safetensors.numpy

        (tmp_path / "other").write_bytes(safetensors.numpy.save(arrays, metadata))
        with pytest.raises(InputError, match="description"):
            model.load(tmp_path / "other")


def test_codes_take_as_many_bytes_as_the_check_expects():
    for levels in (2, 3, 5, 15, 17, 255, 256, 257, 512, 4095, 2**16):
        for count in (1, 7, 40, 41):
            codes = (np.arange(count) * 4099 % levels).astype(np.uint8 if levels <= 256 else np.uint16)
            assert check.size(count, levels) == packing.pack(codes, levels).size


@pytest.mark.parametrize(
    "path", sorted((paths.SOURCE / "results" / "packed").glob("*.safetensors")), ids=lambda p: p.stem
)
def test_committed_models_are_read(path):
    streams = model.load(path, 32)
    np.testing.assert_allclose(outputs(streams), real(path), rtol=1e-3, atol=1e-3)


def test_stages_need_shared_statistics(tmp_path):
    from lowbit.onchip import stages

    assert stages.Real.of(packed(tmp_path / "shared")).cell == "lstm"
    with pytest.raises(InputError, match="pack it with separate_steps=0"):
        stages.Real.of(packed(tmp_path / "single", 2))


def test_corrected_shifts_depend_on_the_bits_of_activations(tmp_path):
    path = packed(tmp_path / "good", 3, dataset="digits")
    arrays, _ = file.read(path)
    for bits in (8, 12, 32):
        streams = model.load(path, bits)
        shift = arrays.get(f"layers.0.shift_x.{bits}", arrays["layers.0.shift_x"])
        np.testing.assert_array_equal(streams.layers[0].shift_x, shift)
    assert len({arrays[f"layers.0.shift_x{form}"].tobytes() for form in ("", ".8", ".12", ".c8", ".c12")}) == 5


def writable_by_all(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o777)


def readable_by_all(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o755)


def link(folder):
    (folder.parent / "target").mkdir(parents=True, mode=0o700)
    folder.symlink_to(folder.parent / "target")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owners here")
@pytest.mark.parametrize("create", [writable_by_all, readable_by_all, link])
def test_object_code_is_not_read_from_a_folder_that_others_can_write(create, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    arguments = str(tmp_path / "configured"), "some", (Path(__file__),)
    cache_folder = compiled.cache_folder.__wrapped__
    first = Path(cache_folder(*arguments))
    assert first.parent == tmp_path / "configured"
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    first.rmdir()
    create(first)
    second = Path(cache_folder(*arguments))
    assert second == tmp_path / "home" / ".cache" / first.name
    second.rmdir()
    create(second)
    assert cache_folder(*arguments) == os.devnull


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")
def test_object_code_of_another_user_is_not_read(tmp_path, monkeypatch):
    compiled.write(tmp_path / "some.o", b"code")
    assert compiled.read(tmp_path / "some.o") == b"code"
    assert compiled.is_private(tmp_path / "new")
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert compiled.read(tmp_path / "some.o") is None
    assert not compiled.is_private(tmp_path / "new")


def test_without_a_home_object_code_is_not_cached(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user without a home
    assert compiled.cache_folder.__wrapped__("", "some", ()) == os.devnull
    compiled.write(Path(os.devnull) / "name.o", b"code")
    assert compiled.read(Path(os.devnull) / "name.o") is None
