"""The origin of a record: code, packages, machine, and the time, memory and energy that the run used."""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import io
import os
import platform
import re
import subprocess
import sys
import time
import tokenize
from pathlib import Path

import torch

from lowbit import paths

POWER = Path("/sys/class/powercap")  # counters of energy, in microjoules


def machine() -> dict:
    """The machine and the software of this process: processor, versions, revision and the digest of the lock."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": processor(),
        "gpu": gpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lowbit": sys.modules["lowbit"].__version__,  # a copied checkout has no installed distribution
        "lock": lock(),
        **dict(zip(("revision", "dirty"), _revision(), strict=True)),
    }


@functools.cache
def lock() -> str | None:
    """A digest of the exact versions that this environment has of what the lock names; None without the lock."""
    file = paths.SOURCE / "requirements.lock"
    if not file.exists():
        return None
    names = [line.partition("==")[0] for line in file.read_text().splitlines() if "==" in line]
    return hashlib.sha256("\n".join(f"{name}=={version(name)}" for name in names).encode()).hexdigest()[:16]


class Meter:
    """Wall and processor time, memory, and energy, where the machine counts it, of a run.

    The state is a plain dict that a checkpoint can hold; another meter continues from it.
    """

    def __init__(self, spent: dict | None = None):
        self.spent = {"wall_seconds": 0.0, "cpu_seconds": 0.0, "energy_joules": 0.0, **(spent or {})}
        self.last = self._now()

    def read(self) -> dict:
        """The totals up to now, in hundredths."""
        now = self._now()
        for name, value in now.items():
            if value is None or self.last[name] is None or self.spent[name] is None:
                self.spent[name] = None
            else:
                self.spent[name] += max(0.0, value - self.last[name])  # a counter of energy starts again now and then
        self.last = now
        self.spent["peak_memory_mb"] = max(self.spent.get("peak_memory_mb", 0), round(peak_memory_mb()))
        return {name: None if value is None else round(value, 2) for name, value in self.spent.items()}

    @staticmethod
    def _now() -> dict:
        times = {"wall_seconds": time.perf_counter(), "cpu_seconds": time.process_time()}
        return times | {"energy_joules": energy_joules()}


def energy_joules() -> float | None:
    """The energy that all processor packages have counted since some moment; None where none can be read."""
    counts = []
    for file in sorted(POWER.glob("*:[0-9]/energy_uj")):
        with contextlib.suppress(OSError, ValueError):
            counts.append(int(file.read_text()) / 1e6)
    return sum(counts) if counts else None


@functools.cache
def bare(module: str) -> str:
    """A digest of a source without comments, docstrings and empty lines."""
    text = source(module).read_text()
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            lines[line - 1] = lines[line - 1][:column]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            first, last = node.body[0].lineno, node.body[0].end_lineno
            lines[first - 1 : last] = [""] * (last - first + 1)
    rest = "\n".join(line.rstrip() for line in lines if line.strip())
    return hashlib.sha256(rest.encode()).hexdigest()


@functools.cache
def source(module: str) -> Path | None:
    """The file of a module of this checkout; None where there is none."""
    stem = paths.SOURCE.joinpath(*module.split("."))
    return next((file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()), None)


def peak_memory_mb() -> float:
    """The peak memory of this process in MiB.

    From Linux's status file, as `ru_maxrss`, which other systems have, includes the process that started this one.
    """
    with contextlib.suppress(OSError, TypeError):
        return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def version(name: str) -> str:
    """The version of a package that is installed; "none" where none is."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def processor() -> str:
    """The name that the processor gives itself."""
    with contextlib.suppress(OSError, TypeError):
        return re.search(r"^model name[^:\n]*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].strip()
    return platform.processor() or "unknown"


def _revision() -> tuple[str, bool | None]:
    """The revision of the code, and whether the library was changed since; "unknown", None outside a checkout."""

    def git(*words: str) -> str:
        process = subprocess.run(["git", "-C", paths.SOURCE, *words], capture_output=True, text=True, check=True)
        return process.stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", "lowbit")
        return git("rev-parse", "--short=12", "HEAD"), bool(dirty)
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None
