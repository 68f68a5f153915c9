"""Where things lie: one root, movable by `LOWBIT_HOME`, and the places below it."""

import os
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
SHORT = 60  # bytes: what a folder for temporary files may have, as a socket's path has at most 107


def root() -> Path:
    """The folder that holds `results`, `data`, `runs` and `book`: the checkout, or `LOWBIT_HOME`."""
    return _named("LOWBIT_HOME") or SOURCE


def raw() -> Path:
    """Downloaded files, as they came; `LOWBIT_DATA` moves them out of the checkout."""
    return _named("LOWBIT_DATA") or root() / "data" / "raw"


def mirror() -> Path | None:
    """A folder of files fetched earlier, looked into before the network: `LOWBIT_MIRROR`."""
    return _named("LOWBIT_MIRROR")


def reported() -> Path:
    """What the papers say: tables of reported values."""
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
    """What a page may take by budget: `resources.toml` of the root, or else of the checkout."""
    own = root() / "resources.toml"
    return own if own.exists() else SOURCE / "resources.toml"


def book() -> Path:
    """The sources of the book; executed pages go to `pages` and tables to `tables` in it."""
    return root() / "book"


def private() -> tempfile.TemporaryDirectory:
    """A folder for this user alone, to be entered by `with`, whose path is short enough for sockets in it."""
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):
        if len(os.fsencode(folder)) <= SHORT and os.pathsep not in folder and os.access(folder, os.W_OK):
            return tempfile.TemporaryDirectory(prefix="lowbit-", dir=folder)
    return tempfile.TemporaryDirectory(prefix="lowbit-")


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names; from then on by its absolute path, for other processes too."""
    folder = os.environ.get(variable)
    if not folder:
        return None
    absolute = os.path.abspath(folder)
    if absolute != folder:
        os.environ[variable] = absolute
    return Path(absolute)
