"""Folders of the project: one root, movable by `LOWBIT_HOME`, and those below it."""

import os
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
SHORT = 60  # bytes of the path of a folder for temporary files: a socket's path has at most 107


def root() -> Path:
    """The folder that holds `results`, `data`, `runs` and `book`: the checkout, or `LOWBIT_HOME`."""
    return _named("LOWBIT_HOME") or SOURCE


def raw() -> Path:
    """Downloaded files, unchanged; `LOWBIT_DATA` moves them out of the checkout."""
    return _named("LOWBIT_DATA") or root() / "data" / "raw"


def mirror() -> Path | None:
    """A folder of files fetched earlier, searched before the network: `LOWBIT_MIRROR`."""
    return _named("LOWBIT_MIRROR")


def reported() -> Path:
    """Tables of the values that the papers report."""
    return SOURCE / "data" / "reported"


def results() -> Path:
    """Records, one JSON a run, by budget."""
    return root() / "results"


def benchmarks() -> Path:
    """Records of benchmarks, one JSON a benchmark and machine."""
    return results() / "benchmarks"


def runs() -> Path:
    """Work in progress: checkpoints, failed notebooks, logs."""
    return root() / "runs"


def notebooks() -> Path:
    """The parameterized templates."""
    return SOURCE / "notebooks"


def resources() -> Path:
    """The resources of pages by budget: `resources.toml` of the root, or else of the checkout."""
    file = root() / "resources.toml"
    return file if file.exists() else SOURCE / "resources.toml"


def book() -> Path:
    """The sources of the book; executed pages go to `pages` and tables to `tables` in it."""
    return root() / "book"


def private() -> tempfile.TemporaryDirectory:
    """A temporary folder of this user alone, to be entered by `with`; its path is short enough for sockets in it."""
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if len(os.fsencode(folder)) <= SHORT and os.pathsep not in folder and os.access(folder, os.W_OK):
            return tempfile.TemporaryDirectory(prefix="lowbit-", dir=folder)
    return tempfile.TemporaryDirectory(prefix="lowbit-")


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names, whose value becomes absolute, for subprocesses too."""
    if not os.environ.get(variable):
        return None
    os.environ[variable] = os.path.abspath(os.environ[variable])
    return Path(os.environ[variable])
