"""Exported C on other machines: with 16-bit `int`, with big-endian bytes, and with any name."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

pytest.importorskip("numba")
pytest.importorskip("safetensors")

from lowbit.inference import c_source, check, deploy, file, fixed
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train

CASES = [
    ("gru", "ternary", "markov", 0),
    ("lstm", "binary", "markov", 0),
    ("lstm(normalize_cell=True)", "uniform(bits=8)", "digits", 3),
    ("rnn", "full", "digits", 3),
]
MAIN = """\
#include "net.h"
{put}
static const int16_t inputs[][{width}] = {{{rows}}};

int main(void) {{
    static net_state state;
    static int32_t logits[NET_OUTPUTS];
    {begin}
    net_start(&state);
    for (int16_t n = 0; n < {steps}; n++) {{
        net_step(&state, {argument}, logits);
        for (int16_t r = 0; r < NET_OUTPUTS; r++)
            for (int16_t k = 28; k >= 0; k -= 4) put("0123456789abcdef"[logits[r] >> k & 15]);
        put('\\n');
    }}
    {end}
    return 0;
}}
"""
HOST = {"put": "#include <stdio.h>\nstatic void put(char c) { putchar(c); }", "begin": "", "end": ""}
AVR = {
    "put": """\
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
static void put(char c) {
    while (!(UCSR0A & (1 << UDRE0))) {}
    UDR0 = c;
}""",
    "begin": "UCSR0B = 1 << TXEN0;",
    "end": "cli(); sleep_mode();",
}


def packed(path, cell="lstm", quantizer="ternary", dataset="markov", separate_steps=0, hidden=7, **choices):
    budget = f"smoke(hidden={hidden}, calibration=2, batch=4, steps={64 if dataset == 'digits' else 8})"
    spec = RunSpec(dataset=dataset, cell=cell, quantizer=quantizer, budget=budget, **choices)
    network = train.build(spec)
    for norm in network.norms():
        torch.nn.init.uniform_(norm.gain, 0.1, 1.0) if norm.gain.requires_grad else None
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    return deploy.write(network, spec, path, separate_steps, spec.dataset != "digits")


def expected(path, bits, steps=12):
    """Returns the inputs in the format of C, and the logits of the integer model."""
    whole = fixed.load(path, bits)
    random, state, logits = np.random.default_rng(0), whole.start(), []
    size = whole.about["inputs"]
    x = random.integers(0, size, steps) if whole.about["symbols"] else random.random((steps, size)).round(2)
    for row in x:
        y, state = whole.step(int(row) if whole.about["symbols"] else row, state)
        logits.append(y.tolist())
    return (x if whole.about["symbols"] else whole.quantize(x)).reshape(steps, -1), logits


def program(path, folder, bits, machine):
    """Writes the exported model and a program that prints the logits of every step; returns the expected output."""
    rows, logits = expected(path, bits)
    c_source.export(path, folder, "net", bits)
    symbols = check.read(path)[1]["symbols"]
    values = {
        **machine,
        "width": rows.shape[1],
        "rows": ", ".join(f"{{{', '.join(map(str, row))}}}" for row in rows.tolist()),
        "steps": len(rows),
        "argument": "inputs[n][0]" if symbols else "inputs[n]",
    }
    (folder / "main.c").write_text(MAIN.format(**values))
    return ["".join(f"{value & 0xFFFFFFFF:08x}" for value in row) for row in logits]


def needed(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this machine")


def run(folder, *command):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=folder, text=True, check=True, timeout=300, **pipes).stdout


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_c_is_the_same_where_int_has_16_bits(case, bits, tmp_path):
    needed("avr-gcc", "simavr")
    lines = program(packed(tmp_path / "m.safetensors", *case), tmp_path, bits, AVR)
    flags = [
        "-mmcu=atmega2560",
        "-DF_CPU=16000000",
        "-DLOWBIT_FLASH=__flash",
        "-Os",
        "-std=gnu99",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    run(tmp_path, "avr-gcc", *flags, "-o", "net.elf", "net.c", "main.c")
    output = run(tmp_path, "simavr", "-m", "atmega2560", "-f", "16000000", "net.elf")
    assert re.findall(r"[0-9a-f]{16,}", output) == lines


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_c_is_the_same_where_the_highest_byte_comes_first(case, bits, tmp_path):
    needed("s390x-linux-gnu-gcc", "qemu-s390x")
    lines = program(packed(tmp_path / "m.safetensors", *case), tmp_path, bits, HOST)
    run(tmp_path, "s390x-linux-gnu-gcc", "-O2", "-std=c99", "-static", "-o", "net", "net.c", "main.c")
    assert run(tmp_path, "qemu-s390x", "./net").split() == lines


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_c_takes_symbols_and_features_and_statistics_of_single_steps(case, bits, tmp_path):
    needed("cc")
    lines = program(packed(tmp_path / "m.safetensors", *case), tmp_path, bits, HOST)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover"]
    run(tmp_path, "cc", *flags, "-o", "net", "net.c", "main.c")
    assert run(tmp_path, "./net").split() == lines


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_exported_c_does_not_depend_on_the_bits_of_an_int(case, tmp_path):
    for name in c_source.export(packed(tmp_path / "m.safetensors", *case), tmp_path)[:2]:
        text = re.sub(r"/\*.*?\*/", "", name.read_text(), flags=re.S)
        assert not re.search(r"\b(int|long|short|unsigned|signed|char|size_t)\b", text)
        assert not re.findall(r"(?<![\w)])\d+\s*<<", text), "a bare number has as many bits as an int"
        cast = re.findall(r"\(int(?:32|64)_t\)\d+ <<", text)
        assert len(cast) == len(re.findall(r"<<", text))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_example_tells_a_right_model_from_a_wrong_one(case, tmp_path):
    needed("cc")
    path = packed(tmp_path / "m.safetensors", *case)
    _, source, _ = c_source.export(path, tmp_path, "net")
    build = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", "net", "net.c", "net_main.c"]
    run(tmp_path, *build)
    assert run(tmp_path, "./net").startswith("right\n")
    text = source.read_text()
    source.write_text(re.sub(r"(net_readout_shift\[\] = \{)(-?\d+)", lambda m: f"{m[1]}{int(m[2]) + 1}", text))
    assert source.read_text() != text
    run(tmp_path, *build)
    assert subprocess.run("./net", cwd=tmp_path, capture_output=True, text=True).stdout == "wrong\n"


def test_the_example_of_a_language_model_writes_its_letters(tmp_path):
    needed("cc")
    path = packed(tmp_path / "m.safetensors")
    arrays, about = file.read(path)
    about["alphabet"] = 'ab"\\?\n %'
    file.write(path, arrays, about)
    c_source.export(path, tmp_path, "net")
    run(tmp_path, "cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-trigraphs", "-o", "net", "net.c", "net_main.c")
    _, text = run(tmp_path, "./net").split("\n", 1)
    assert len(text) == 81
    assert set(text[:-1]) <= set(about["alphabet"])
    assert len(set(text)) > 3


def test_c_plus_plus_and_two_models_in_one_program(tmp_path):
    needed("c++", "cc")
    for name, case in (("one", CASES[0]), ("two", CASES[1])):
        c_source.export(packed(tmp_path / f"{name}.safetensors", *case), tmp_path, name)
    (tmp_path / "both.c").write_text('#include "one.c"\n#include "two.c"\n')
    (tmp_path / "main.cc").write_text(
        '#include "one.h"\n#include "two.h"\nint main() {\n'
        "    static one_state a; static two_state b; int32_t y[ONE_OUTPUTS], z[TWO_OUTPUTS];\n"
        "    one_start(&a); two_start(&b); one_step(&a, 1, y); two_step(&b, 1, z);\n"
        "    return one_best(y) < 0 || two_draw(z, 7) < 0;\n}\n"
    )
    run(tmp_path, "cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "both.c")
    run(tmp_path, "c++", "-Wall", "-Wextra", "-Werror", "-o", "main", "main.cc", "both.o")
    run(tmp_path, "./main")


def test_only_an_lstm_has_a_cell_in_its_state(tmp_path):
    for case in CASES:
        header = c_source.export(packed(tmp_path / "m.safetensors", *case), tmp_path, "net")[0].read_text()
        assert ("int32_t c[" in header) == case[0].startswith("lstm")


def test_tables_of_an_avr_stay_in_flash(tmp_path):
    needed("avr-gcc", "avr-size")
    c_source.export(packed(tmp_path / "m.safetensors", *CASES[0], hidden=32), tmp_path, "net")
    sizes, program = (
        [],
        "static net_state s; int main(void) { int32_t y[8]; net_step(&s, 1, y); return (int16_t)y[0]; }",
    )
    (tmp_path / "main.c").write_text(f'#include "net.h"\n{program}\n')
    for flash in ("", "__flash"):
        flags = ["-mmcu=atmega2560", "-Os", "-std=gnu99", "-Wall", "-Wextra", "-Werror", f"-DLOWBIT_FLASH={flash}"]
        run(tmp_path, "avr-gcc", *flags, "-o", "net.elf", "net.c", "main.c")
        sizes.append(sum(map(int, run(tmp_path, "avr-size", "net.elf").splitlines()[1].split()[1:3])))  # data and bss
    assert sizes[0] > 2000
    assert sizes[1] < 100  # the state: 32 numbers of 16 bits


def test_draws_are_as_likely_as_the_softmax_says(tmp_path):
    needed("cc")
    c_source.export(packed(tmp_path / "m.safetensors"), tmp_path, "net")
    run(tmp_path, "cc", "-std=c99", "-shared", "-fPIC", "-O2", "-o", "net.so", "net.c")
    library = ctypes.CDLL(str(tmp_path / "net.so"))
    library.net_draw.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    logits = np.array([0.0, -1.5, 2.25, -30, 0.1, 2.2, 2**19 - 1, 2**19 - 3.3])
    for values in ([*logits[:6].tolist(), -9.0, 1.0], logits.tolist(), [-(2.0**19)] + [2.0**19 - 1] * 7):
        whole = np.ascontiguousarray(np.clip(np.round(np.array(values) * 4096), -(2**31) + 1, 2**31 - 1), np.int32)
        count = 50_000
        random = (np.arange(count, dtype=np.uint64) * 2**32 // count).tolist()
        drawn = np.bincount([library.net_draw(whole.ctypes.data, number) for number in random], minlength=8) / count
        likely = np.exp((whole - whole.max().astype(np.int64)) / 4096)
        np.testing.assert_allclose(drawn, likely / likely.sum(), atol=2e-4)
        assert library.net_best(whole.ctypes.data_as(ctypes.c_void_p)) == int(np.argmax(whole))


def test_sums_beyond_32_bits_are_the_same_in_c(tmp_path):
    """With scales and shifts at their bounds, every form saturates at the same number."""
    needed("cc")
    path = packed(tmp_path / "m.safetensors", "lstm(normalize_cell=True)", "ternary", "digits", 2)
    arrays, about = file.read(path)
    random = np.random.default_rng(0)
    for name in arrays:
        if "scale" in name or "shift" in name:
            scaled = arrays[name] * 4.0 ** random.integers(0, 9, arrays[name].shape)
            arrays[name] = scaled.clip(-(2**13), 2**13).astype(np.float32)
    file.write(path, arrays, about)
    lines = program(path, tmp_path, 8, HOST)
    flags = ["-std=c99", "-fsanitize=undefined", "-fno-sanitize-recover"]
    run(tmp_path, "cc", *flags, "-o", "net", "net.c", "main.c")
    assert run(tmp_path, "./net").split() == lines


def test_invalid_names_and_text_that_ends_a_comment_are_refused(tmp_path):
    path = packed(tmp_path / "m.safetensors")
    for name in ("stdint", "Math", "Net", "größe", "2net", "", "a-b", "n" * 60, "x\n"):
        with pytest.raises(InputError, match="no name in C"):
            c_source.export(path, tmp_path, name)
    for bits in (8.0, True, "8", 1, 13):
        with pytest.raises(InputError, match="2 to 12 bits"):
            c_source.export(path, tmp_path, "net", bits)
    arrays, about = file.read(path)
    about["spec"]["dataset"] = "*/ #error / \\ ??/"
    file.write(path, arrays, about)
    header, source, _ = c_source.export(path, tmp_path, "net")
    first = header.read_text().splitlines()[0]
    assert first.count("*/") == first.count("/*") == 1
    assert not {"#", "\\", "?"} & set(first)
    assert "#error" not in source.read_text()


def test_an_unknown_symbol_changes_nothing(tmp_path):
    needed("cc")
    path = packed(tmp_path / "m.safetensors")
    c_source.export(path, tmp_path, "net")
    run(tmp_path, "cc", "-std=c99", "-shared", "-fPIC", "-o", "net.so", "net.c")
    library, whole = ctypes.CDLL(str(tmp_path / "net.so")), fixed.load(path)
    state, logits = ctypes.create_string_buffer(7 * 6), (ctypes.c_int32 * 8)()
    library.net_start(state)
    for symbol in (1, -1, 8, 2**31 - 1, -(2**31)):
        library.net_step(state, symbol, logits)
        assert list(logits) == whole.step(1, whole.start())[0].tolist()
        if symbol != 1:
            with pytest.raises(InputError, match="symbols from 0 to 7"):
                whole.step(symbol, whole.start())


def test_a_model_packed_for_some_bits_is_refused_for_others(tmp_path):
    path = packed(tmp_path / "m.safetensors", *CASES[2])
    with pytest.raises(InputError, match="for activations of 8 or 12 bits in C, not 9"):
        c_source.export(path, tmp_path, "net", 9)
    arrays, about = file.read(path)
    del about["input_range"]
    file.write(path, arrays, about)
    with pytest.raises(InputError, match="pack it again"):
        c_source.export(path, tmp_path, "net")
