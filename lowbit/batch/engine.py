"""The engine: rules for the pages of a stage, and Snakemake, which schedules, retries and talks to clusters.

What is finished is told by pages and records themselves; the engine's own memory is thrown away with every stage.
"""

import contextlib
import dataclasses
import getpass
import itertools
import json
import keyword
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from lowbit import paths
from lowbit.batch import journal, warm
from lowbit.plots.templates import TEMPLATES, Page
from lowbit.registry import InputError
from lowbit.studies import store

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
WARM = ("lowbit.batch.ready", "papermill", "ipykernel.kernelapp")
EXECUTORS = {  # how Snakemake is asked for each
    "local": [],
    "slurm": [
        *("--executor", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue"),
        *("--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5"),
        *("--latency-wait", "60"),
    ],
}

HEAD = '''"""Written by `lowbit run` for one stage of a batch; lowbit/batch/engine.py says how."""

localrules: all


rule all:
    input: {targets}
'''
RULE = """

rule {name}:
    output: touch("done/{name}/{{page}}")
    threads: {threads}
    resources: {resources}
    shell: {command!r}
"""
MOST_JOBS = 10_000
AMOUNTS = {"minutes": (60, 0.01, 10**6), "memory_mb": (2000, 1, 10**9), "gpus": (0, 0, 1024), "threads": (1, 1, 1024)}
NAME = re.compile(r"(?!(?:mem|mem_mb|mem_mib|runtime|cpus_per_task)$)[a-z][a-z0-9_]*")  # amounts stand for these
CAUSE = re.compile(r"\b(?:[A-Z]\w*(?:Error|Exception|Interrupt)\b|error(?= message|:)).*")


def resources(budget: str) -> dict:
    """What a page of a budget may take; raises `InputError` where `resources.toml` does not say."""
    file = paths.resources()
    try:
        tables = tomllib.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: {error}") from error
    if not isinstance(tables.get(budget), dict):
        known = ", ".join(name for name, table in tables.items() if isinstance(table, dict))
        raise InputError(f"{file} has no budget {budget!r}; known: {known}")
    for name, value in tables[budget].items():
        if name in AMOUNTS:
            _, least, most = AMOUNTS[name]
            whole = type(value) is int or (name == "minutes" and type(value) is float)
            if not whole or not least <= value <= most:
                raise InputError(f"{file}: {name} of {budget} is a number from {least} to {most:,}, not {value!r}")
        elif not NAME.fullmatch(name) or keyword.iskeyword(name) or type(value) not in (str, int):
            raise InputError(f"{file}: {budget} cannot have {name} = {value!r}")
    return {**{name: amount for name, (amount, _, _) in AMOUNTS.items()}, **tables[budget]}


def check(todo: list[Page], jobs: int, executor: str) -> None:
    """Raises `InputError` for what would end a batch as it begins."""
    threads(jobs)
    if executor == "slurm" and todo and shutil.which("sbatch") is None:
        raise InputError("no SLURM on this machine: sbatch is not on the path")
    for budget in dict.fromkeys(page.spec.folder for page in todo):
        resources(budget)


def threads(jobs: int) -> int:
    """What each of the jobs has of the cores of this machine; raises `InputError`."""
    if jobs < 1:
        raise InputError(f"jobs are counted from 1, not {jobs}")
    if jobs > MOST_JOBS:
        raise InputError(f"at most {MOST_JOBS:,} jobs are possible, not {jobs}")
    return max(1, (os.cpu_count() or 1) // jobs)


def work(name: str) -> str:
    """Executes a page of the stage that runs now, by its name; gives the error, or ""."""
    told = json.loads((folder() / "pages.json").read_text())[name]
    return journal.work(Page(told["template"], TEMPLATES[told["template"]].spec(**told["spec"])), told["limit"])


def folder() -> Path:
    """Rules, lists and logs of the stage that runs now."""
    return paths.runs() / "batch"


def failure(name: str) -> str:
    """Why a page has no end: the first error that the engine tells, or else the last line of the page's own log."""
    lines = [line.strip() for line in _lines(folder() / "engine.log")]
    for line, after in itertools.pairwise([*lines, ""]):
        if CAUSE.search(line):
            return f"{line} {after}" if line.endswith(":") else line.removeprefix("message: ")
    return next(reversed(_lines(journal.log(name))), "the engine tells no error")


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def write(todo: list[Page], threads: int | None) -> None:
    """Writes the rules of a stage: one for each template and budget, on as many threads, or as its budget says."""
    told, rules, targets = {}, {}, []
    for name in ("done", ".snakemake"):
        shutil.rmtree(folder() / name, ignore_errors=True)
    python, script = (
        shlex.quote(name).replace("{", "{{").replace("}", "}}") for name in (sys.executable, warm.__file__)
    )
    command = f"export {' '.join(f'{name}={{threads}}' for name in THREADS)}; exec {python} -I -S {script} "
    command += "run lowbit.batch.worker {wildcards.page} > ../logs/{wildcards.page}.log 2>&1"
    for page in todo:
        asked = resources(page.spec.folder)
        limit = math.ceil(60 * asked["minutes"])
        what = {"template": page.template, "spec": dataclasses.asdict(page.spec)}
        told[page.name] = {**what, "limit": limit, "memory_mb": asked["memory_mb"]}
        rule, own = f"{page.template}_{page.spec.folder}", threads or asked["threads"]
        rules[rule] = RULE.format(name=rule, threads=own, resources=_asked(asked), command=command)
        targets.append(f"done/{rule}/{page.name}")
        journal.log(page.name).parent.mkdir(parents=True, exist_ok=True)
    store.write(folder() / "pages.json", json.dumps(told, indent=1))
    store.write(folder() / "Snakefile", HEAD.format(targets=json.dumps(targets)) + "".join(rules.values()))


class Engine:
    """Snakemake for one batch, and on this machine warm Python for its pages; to be entered by `with`.

    All that it starts on this machine dies with this process.
    """

    def __init__(self, jobs: int, executor: str):
        self.jobs, self.executor = jobs, executor
        self.threads = threads(jobs) if executor == "local" else None  # of a page; none: as its budget says
        self.environment = {**os.environ, **dict.fromkeys(THREADS, str(self.threads or 1)), **_account()}

    def __enter__(self) -> "Engine":
        self.left = contextlib.ExitStack()  # undone in reverse: the pipe closes, processes end, the folder goes
        self.life, ours = os.pipe()
        self.left.callback(os.close, self.life)
        if self.executor == "local" and hasattr(os, "fork"):
            short = self.left.enter_context(paths.private())
            server = _serve(Path(short), self.life, self.environment)
            self.left.callback(server.wait)
            self.left.callback(server.terminate)  # while it imports; later it heeds the pipe alone
        self.left.callback(os.close, ours)
        return self

    def __exit__(self, *_) -> None:
        self.left.close()

    def start(self, retries: int) -> subprocess.Popen:
        """Snakemake at work on the rules on file."""
        words = ["--snakefile", "Snakefile", "--directory", ".", "--keep-going", "--nolock"]
        words += ["--retries", str(retries), "--drop-metadata", "--scheduler", "greedy", *EXECUTORS[self.executor]]
        if self.executor == "local":
            words += ["--cores", str(self.jobs * self.threads), "--resources", f"mem_mb={_memory_mb()}"]
        else:
            words += ["--jobs", str(self.jobs)]
        tied = [sys.executable, warm.__file__, "tie", str(self.life), "snakemake", *words]
        with open(folder() / "engine.log", "wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            engine = subprocess.Popen(tied, env=self.environment, cwd=folder(), pass_fds=[self.life], **streams)
        self.left.callback(engine.wait)
        self.left.callback(engine.kill)
        return engine


def _serve(short: Path, life: int, environment: dict) -> subprocess.Popen:
    """Starts warm Python with a socket and a Jupyter kernel in the folder `short`, and names them in `environment`."""
    environment |= {warm.ADDRESS: f"{short}/door", "TMPDIR": str(short)}
    environment["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(short), environment.get("JUPYTER_PATH")]))
    words = [sys.executable, "-I", "-S", warm.__file__, "run", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": words, "display_name": "Python 3, warm", "language": "python"}
    store.write(short / "kernels" / warm.KERNEL / "kernel.json", json.dumps(kernel))
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(environment[warm.ADDRESS])
        door.listen(128)
        told = [sys.executable, warm.__file__, "serve", str(door.fileno()), str(life), *WARM]
        silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(told, env=environment, pass_fds=[door.fileno(), life], **silent)


def _account() -> dict[str, str]:
    """What this user lacks of a name and of a home that can be written, as in containers: Jupyter and Snakemake ask."""
    environment, home = {}, paths.runs() / "home"
    try:
        getpass.getuser()
    except (KeyError, OSError):
        environment["USER"] = str(os.getuid())
    with contextlib.suppress(RuntimeError):
        if Path.home().is_dir() and os.access(Path.home(), os.W_OK):
            return environment
    home.mkdir(parents=True, exist_ok=True)
    return {**environment, "HOME": str(home)}


def _asked(told: dict) -> str:
    """The resources of a rule in Snakemake's words."""
    words = {"mem_mb": told["memory_mb"], "runtime": math.ceil(told["minutes"]) + 5}  # the page's own limit comes first
    if told["gpus"]:
        words["gres"] = f"gpu:{told['gpus']}"
    words |= {name: value for name, value in told.items() if name not in AMOUNTS}
    return ", ".join(f"{name}={value!r}" for name, value in words.items())


def _memory_mb() -> int:
    """What is free on this machine, and at least what the largest page on file asks for, so that it can run at all."""
    import psutil

    told = json.loads((folder() / "pages.json").read_text()).values()
    largest = max(each["memory_mb"] for each in told)
    return max(largest, psutil.virtual_memory().available >> 20)
