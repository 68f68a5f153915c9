"""The engine: rules for the pages of a stage, and Snakemake, which schedules, retries and talks to clusters.

Pages and records themselves say what is finished; the engine's own memory is discarded with every stage.
"""

import contextlib
import dataclasses
import getpass
import itertools
import json
import math
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from lowbit import paths
from lowbit.batch import forkserver, journal
from lowbit.batch.resources import arguments, resources
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import store

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PRELOADED = ("lowbit.batch.preload", "lowbit.batch.shell")
EXECUTORS = {  # the arguments of Snakemake for each
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
CAUSE = re.compile(r"\b(?:[A-Z]\w*(?:Error|Exception|Interrupt)\b|error(?= message|:)).*")


def check(todo: list[Page], jobs: int, executor: str) -> None:
    """Raises `InputError` for what would end a batch as it begins."""
    threads(jobs)
    if executor == "slurm" and todo and shutil.which("sbatch") is None:
        raise InputError("no SLURM on this machine: sbatch is not on the path")
    for budget in dict.fromkeys(page.spec.folder for page in todo):
        resources(budget)


def threads(jobs: int) -> int:
    """The share of each job of the cores of this machine; raises `InputError`."""
    if jobs < 1:
        raise InputError(f"jobs are counted from 1, not {jobs}")
    if jobs > MOST_JOBS:
        raise InputError(f"at most {MOST_JOBS:,} jobs are possible, not {jobs}")
    return max(1, (os.cpu_count() or 1) // jobs)


def folder() -> Path:
    """Rules, lists and logs of the stage that runs now."""
    return paths.runs() / "batch"


def failure(name: str) -> str:
    """The first error in the engine's log, or else the last line of the page's own log."""
    lines = [line.strip() for line in _lines(folder() / "engine.log")]
    for line, after in itertools.pairwise([*lines, ""]):
        if CAUSE.search(line):
            return f"{line} {after}" if line.endswith(":") else line.removeprefix("message: ")
    return next(reversed(_lines(journal.log(name))), "the engine has no error in its log")


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def write(todo: list[Page], threads: int | None) -> None:
    """Writes the rules of a stage: one for each template and budget, on `threads`, or as many as its budget says."""
    jobs, rules, targets = {}, {}, []
    for name in ("done", ".snakemake"):
        shutil.rmtree(folder() / name, ignore_errors=True)
    client = shlex.join([sys.executable, "-I", "-S", forkserver.__file__]).replace("{", "{{").replace("}", "}}")
    command = f"export {' '.join(f'{name}={{threads}}' for name in THREADS)}; exec {client} "
    command += "run lowbit.batch.worker {wildcards.page} > ../logs/{wildcards.page}.log 2>&1"
    for page in todo:
        amounts = resources(page.spec.folder)
        job = {"template": page.template, "spec": dataclasses.asdict(page.spec)}
        jobs[page.name] = job | {"limit": math.ceil(60 * amounts["minutes"]), "memory_mb": amounts["memory_mb"]}
        rule, count = f"{page.template}_{page.spec.folder}", threads or amounts["threads"]
        named = arguments(page.spec.folder)
        rules[rule] = RULE.format(name=rule, threads=count, resources=named, command=command)
        targets.append(f"done/{rule}/{page.name}")
        journal.log(page.name).parent.mkdir(parents=True, exist_ok=True)
    store.write(folder() / "pages.json", json.dumps(jobs, indent=1))
    store.write(folder() / "Snakefile", HEAD.format(targets=json.dumps(targets)) + "".join(rules.values()))


class Engine:
    """Snakemake for one batch, and on this machine the fork server for its pages; to be entered by `with`.

    All processes that it starts on this machine die with this process.
    """

    def __init__(self, jobs: int, executor: str):
        self.jobs, self.executor = jobs, executor
        self.threads = threads(jobs) if executor == "local" else None  # of a page; None: as its budget says
        self.environment = {**os.environ, **dict.fromkeys(THREADS, str(self.threads or 1)), **_account()}
        search = filter(None, [str(paths.SOURCE), os.environ.get("PYTHONPATH")])
        self.environment["PYTHONPATH"] = os.pathsep.join(search)

    def __enter__(self) -> "Engine":
        self.stack = contextlib.ExitStack()  # undone in reverse: the pipe closes, processes end, the folder goes
        self.life, end = os.pipe()
        self.stack.callback(os.close, self.life)
        if self.executor == "local":
            server = self._serve(Path(self.stack.enter_context(paths.private())))
            self.stack.callback(server.wait)
            self.stack.callback(server.terminate)  # while it imports; later it ends with the pipe alone
        self.stack.callback(os.close, end)
        return self

    def __exit__(self, *_) -> None:
        self.stack.close()

    def start(self, retries: int) -> subprocess.Popen:
        """Starts Snakemake on the rules on file."""
        words = ["--snakefile", "Snakefile", "--directory", ".", "--keep-going", "--nolock"]
        words += ["--retries", str(retries), "--drop-metadata", "--scheduler", "greedy", *EXECUTORS[self.executor]]
        if self.executor == "local":
            words += ["--cores", str(self.jobs * self.threads), "--resources", f"mem_mb={_memory_mb()}"]
        else:
            words += ["--jobs", str(self.jobs)]
        with open(folder() / "engine.log", "wb") as log:
            engine = self._popen("tie", str(self.life), "snakemake", *words, cwd=folder(), stdout=log, stderr=log)
        self.stack.callback(engine.wait)
        self.stack.callback(engine.kill)
        return engine

    def _serve(self, short: Path) -> subprocess.Popen:
        """Starts the fork server with a socket in the folder `short`, which goes to `environment`."""
        address = str(short / "socket")
        self.environment |= {forkserver.ADDRESS: address, "TMPDIR": str(short)}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(128)
            streams = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
            return self._popen("serve", str(listener.fileno()), str(self.life), *PRELOADED, **streams, fds=[listener])

    def _popen(self, *words: str, fds: tuple = (), **settings) -> subprocess.Popen:
        command = [sys.executable, "-P", "-m", forkserver.__name__, *words]
        open_fds = [self.life, *(file.fileno() for file in fds)]
        return subprocess.Popen(command, env=self.environment, pass_fds=open_fds, stdin=subprocess.DEVNULL, **settings)


def _account() -> dict[str, str]:
    """A user's name and a home that can be written, where they are missing, as in containers: Jupyter needs both."""
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


def _memory_mb() -> int:
    """The free memory of this machine, and at least that of the largest page on file, so that it can run at all."""
    import psutil

    jobs = json.loads((folder() / "pages.json").read_text()).values()
    return max(psutil.virtual_memory().available >> 20, *(job["memory_mb"] for job in jobs))
