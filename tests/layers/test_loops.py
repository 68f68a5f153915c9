"""Compiled loops: arguments arrive, unsupported ones are refused, and object code is checked before it runs."""

import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lowbit import compiled, paths
from lowbit.compiled.emit import code as object_code
from lowbit.compiled.loops import CALL, Loops, flatten
from lowbit.layers.loops import loader

LAYER = """
import hashlib, sys, torch
from lowbit import quantizers
from lowbit.layers import cells, kernels
from lowbit.layers.recurrent import Design, Recurrent
torch.manual_seed(0)
layer = Recurrent(3, 6, Design(cells.build("rnn"), quantizers.build("full"), "batch_step"), 5)
layer.kernels = (kernels.build("fused"),)
out = layer(torch.randn(5, 7, 3))[0]
out.square().sum().backward()
numbers = [out.detach(), *(each.grad for each in layer.parameters() if each.grad is not None)]
print(hashlib.sha256(b"".join(each.numpy().tobytes() for each in numbers)).hexdigest(), "numba" in sys.modules)
"""


class Pair(NamedTuple):
    left: np.ndarray
    flag: bool


def echo(whole, single, nested, out):
    """Writes all arguments, in the order in which they are read."""
    small, (pair, right) = nested
    out[0] = whole
    out[1] = single
    out[2] = small
    out[3] = 1 if pair.flag else 0
    out[4], out[5] = pair.left.shape
    out[6] = right.shape[0]
    k = 7
    for i in range(pair.left.shape[0]):
        for j in range(pair.left.shape[1]):
            out[k] = pair.left[i, j]
            k += 1
    for value in right:
        out[k] = value
        k += 1


def words(whole, single, small, flag, left, right):
    out = np.zeros(7 + left.size + right.size)
    return whole, np.float32(single), (np.int32(small), (Pair(left, flag), right)), out


@pytest.fixture(scope="module")
def code():
    return object_code(echo, words(0, 0, 0, False, np.zeros((0, 0), np.float32), np.zeros(0, np.int64)))


@pytest.fixture(scope="module")
def called(code):
    return CALL(compiled.link("echo", code))


@given(
    whole=st.integers(-(2**53), 2**53),
    single=st.floats(width=32, allow_nan=False),
    small=st.integers(-(2**31), 2**31 - 1),
    flag=st.booleans(),
    left=arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)),
    right=arrays.arrays(np.int64, st.integers(0, 4), elements=st.integers(-(2**53), 2**53)),
)
def test_arguments_arrive_unchanged(called, whole, single, small, flag, left, right):
    given, told = words(whole, single, small, flag, left, right), []
    flatten(given, told)
    told = np.array(told, np.int64)
    assert called(compiled.address(told)) == 0
    head = [whole, np.float32(single), small, flag, *left.shape, *right.shape]
    np.testing.assert_array_equal(given[-1], [*head, *left.ravel(), *right])


def doubled(row):
    for i in range(len(row)):
        row[i] = twice(row[i])


def twice(value):
    return 2 * value


def rows(matrix):
    """Passes rows on; compiled code counts references to arrays that it owns."""
    for i in range(len(matrix)):
        row = matrix[i]
        doubled(row)


def test_called_functions_are_compiled_with_their_caller():
    matrix = np.arange(6).reshape(2, 3)
    call, told = CALL(compiled.link("rows", object_code(rows, (matrix,)))), []
    flatten((matrix,), told)
    told = np.array(told, np.int64)
    assert call(compiled.address(told)) == 0
    assert matrix.tolist() == [[0, 2, 4], [6, 8, 10]]


def test_arguments_of_one_kind_differ_in_numbers_and_lengths_alone():
    kinds = [
        flatten(words(1, 2.0, 3, True, np.zeros(shape, np.float32), right), [])
        for shape in ((2, 3), (1, 0))
        for right in (np.zeros(4, np.int64), np.zeros(4, np.int32))
    ]
    assert kinds[0] == kinds[2] != kinds[1] == kinds[3]


def test_arrays_with_gaps_read_only_arrays_and_unsupported_types_are_refused():
    with pytest.raises(ValueError, match="with gaps"):
        flatten((1, np.zeros((4, 4), np.float32)[:, :2]), [])
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(TypeError, match="not writable"):
        flatten((fixed,), [])
    for value in (0.5, "word", None, [1]):
        with pytest.raises(TypeError, match="compiled loops take no"):
            flatten((1, (value,)), [])


def test_truncated_object_code_is_not_read(tmp_path):
    file = tmp_path / "some.o"
    assert compiled.read(file) is None
    compiled.write(file, b"code")
    assert compiled.read(file) == b"code"
    assert [*tmp_path.iterdir()] == [file]
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:20], b"", whole[:-1] + b"!"):
        file.write_bytes(damaged)
        assert compiled.read(file) is None
    compiled.write(tmp_path / "nowhere" / "some.o", b"code")  # where nothing can be kept nothing is


def test_a_function_is_compiled_once_with_or_without_an_early_start(code, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    source, count = tmp_path / "code", tmp_path / "count"
    source.write_bytes(code)
    tell = f"import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write(open({str(source)!r}, 'rb').read())"
    monkeypatch.setattr("lowbit.compiled.loops.COMPILE", f"{tell}; print('.', file=open({str(count)!r}, 'a'))")
    loops = Loops("lowbit.some", ())
    for begins in (True, False):
        name, given = f"some.echo_{begins}", words(7, 1.0, 2, True, np.ones((1, 2), np.float32), np.arange(3))
        if begins:
            loops.begin(name, *given)
            loops.begin(name, *given)
        loops.run(name, *given)
        loops.run(name, *given)
        assert given[-1].tolist() == [7, 1, 2, 1, 1, 2, 3, 1, 1, 0, 1, 2]
    assert count.read_text() == ".\n.\n"


def test_cached_object_code_starts_no_subprocess(code, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(Loops, "_compiler", None)
    loops, given = Loops("lowbit.some", ()), words(7, 1.0, 2, True, np.ones((1, 2), np.float32), np.arange(3))
    compiled.write(loops.path("some.kept", flatten(given, [])), code)
    loops.begin("some.kept", *given)
    loops.run("some.kept", *given)
    assert given[-1][0] == 7


def test_a_function_that_cannot_be_compiled_is_reported(capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(RuntimeError, match="nowhere.nothing could not be compiled"):
        loader.run("nowhere.nothing", 1)
    assert "No module named 'lowbit.layers.loops.native.nowhere'" in capfd.readouterr().err


def trained(folder=None):
    """Trains a layer in a subprocess; returns the digest of its numbers, and whether it imported numba."""
    places = {"PYTHONPATH": str(paths.SOURCE)} | ({"NUMBA_CACHE_DIR": str(folder)} if folder else {})
    streams = {"stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", LAYER], env=os.environ | places, **streams)


def test_a_process_that_trains_imports_no_numba():
    assert trained().communicate()[0].split()[1] == "False"


@pytest.mark.slow  # compiles five times
def test_first_later_and_concurrent_runs_on_a_machine_compute_the_same(tmp_path):
    found = [process.communicate()[0] for process in [trained(tmp_path), trained(tmp_path)]]
    found.append(trained(tmp_path).communicate()[0])
    file = next(tmp_path.rglob("rnn.backward-*.o"))
    file.write_bytes(file.read_bytes()[:-9])
    found.append(trained(tmp_path).communicate()[0])
    assert len(set(found)) == 1
    assert len(found[0].split()) == 2
    assert compiled.read(file)
    assert not [*tmp_path.rglob("*.part")]
