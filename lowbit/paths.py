"""Where things lie: one root, movable by `LOWBIT_HOME`, and the places below it."""

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


def root() -> Path:
    """The folder that holds `results`, `data`, `runs` and `book`: the checkout, or `LOWBIT_HOME`."""
    return Path(os.environ.get("LOWBIT_HOME", SOURCE))


def raw() -> Path:
    """Downloaded files, as they came; `LOWBIT_DATA` moves them out of the checkout."""
    return Path(os.environ.get("LOWBIT_DATA", root() / "data" / "raw"))


def mirror() -> Path | None:
    """A folder of files fetched earlier, looked into before the network: `LOWBIT_MIRROR`."""
    folder = os.environ.get("LOWBIT_MIRROR")
    return Path(folder) if folder else None


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
