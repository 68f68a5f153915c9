"""The engine: rules for the pages of a stage, and Snakemake, which schedules, retries and talks to clusters.

What is finished is told by pages and records themselves; the engine's own memory is thrown away with every stage.
"""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from lowbit import journal, paths, store, warm
from lowbit.registry import InputError
from lowbit.templates import TEMPLATES, Page

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
WARM = ("lowbit.ready", "papermill", "ipykernel.kernelapp")
EXECUTORS = {  # how Snakemake is asked for each
    "local": [],
    "slurm": [
        *("--executor", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue"),
        *("--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5"),
        *("--latency-wait", "60"),
    ],
}

HEAD = '''"""Written by `lowbit run` for one stage of a batch; lowbit/engine.py says how."""

localrules: all


rule all:
    input: {targets}
'''
RULE = """

rule {name}:
    output: touch("done/{name}/{{page}}")
    threads: {threads}
    resources: {resources}
    shell: "exec {command} {{wildcards.page}} > '{log}/{{wildcards.page}}.log' 2>&1"
"""


def resources(budget: str) -> dict:
    """What a page of a budget may take; raises `InputError` where `resources.toml` does not say."""
    try:
        told = tomllib.loads(paths.resources().read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{paths.resources()}: {error}") from error
    if budget not in told:
        raise InputError(f"{paths.resources()} has no budget {budget!r}; known: {', '.join(told)}")
    return {"minutes": 60, "memory_mb": 2000, "gpus": 0, **told[budget]}


def threads(jobs: int) -> int:
    """What each of the jobs has of the cores of this machine; raises `InputError`."""
    if jobs < 1:
        raise InputError(f"jobs are counted from 1, not {jobs}")
    return max(1, (os.cpu_count() or 1) // jobs)


def work(name: str) -> str:
    """Executes a page of the stage that runs now, by its name; gives the error, or ""."""
    told = json.loads((folder() / "pages.json").read_text())[name]
    return journal.work(Page(told["template"], TEMPLATES[told["template"]].spec(**told["spec"])), told["limit"])


def folder() -> Path:
    """Rules, lists and logs of the stage that runs now."""
    return paths.runs() / "batch"


def write(todo: list[Page], threads: int) -> None:
    """Writes the rules of a stage: one for each template and budget."""
    told, rules, targets = {}, {}, []
    for name in ("done", ".snakemake"):
        shutil.rmtree(folder() / name, ignore_errors=True)
    command = f"'{sys.executable}' -I -S '{warm.__file__}' run lowbit.worker"
    for page in todo:
        asked = resources(page.spec.folder)
        limit = math.ceil(60 * asked["minutes"])
        what = {"template": page.template, "spec": dataclasses.asdict(page.spec)}
        told[page.name] = {**what, "limit": limit, "memory_mb": asked["memory_mb"]}
        rule, parts = f"{page.template}_{page.spec.folder}", {"threads": threads, "command": command}
        rules[rule] = RULE.format(name=rule, resources=_asked(asked), log=paths.runs() / "logs", **parts)
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
        self.threads = threads(jobs)
        self.environment = {**os.environ, **dict.fromkeys(THREADS, str(self.threads))}

    def __enter__(self) -> "Engine":
        self.left = contextlib.ExitStack()  # undone in reverse: the pipe closes, processes end, the folder goes
        short = self.left.enter_context(tempfile.TemporaryDirectory(prefix="lowbit-"))
        self.life, ours = os.pipe()
        self.left.callback(os.close, self.life)
        if self.executor == "local" and hasattr(os, "fork"):
            self.left.callback(_serve(Path(short), self.life, self.environment).wait)
        self.left.callback(os.close, ours)
        return self

    def __exit__(self, *_) -> None:
        self.left.close()

    def start(self, retries: int) -> subprocess.Popen:
        """Snakemake at work on the rules on file."""
        words = ["--snakefile", str(folder() / "Snakefile"), "--directory", str(folder()), "--keep-going", "--nolock"]
        words += ["--retries", str(retries), "--drop-metadata", "--scheduler", "greedy", *EXECUTORS[self.executor]]
        if self.executor == "local":
            words += ["--cores", str(self.jobs * self.threads), "--resources", f"mem_mb={_memory_mb()}"]
        else:
            words += ["--jobs", str(self.jobs)]
        tied = [sys.executable, warm.__file__, "tie", str(self.life), "snakemake", *words]
        with open(folder() / "engine.log", "wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            engine = subprocess.Popen(tied, env=self.environment, pass_fds=[self.life], **streams)
        self.left.callback(engine.wait)
        self.left.callback(engine.kill)
        return engine


def _serve(short: Path, life: int, environment: dict) -> subprocess.Popen:
    """Starts warm Python with a socket and a Jupyter kernel in the folder `short`, and names them in `environment`."""
    words = [sys.executable, "-I", "-S", warm.__file__, "run", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": words, "display_name": "Python 3, warm", "language": "python"}
    store.write(short / "kernels" / warm.KERNEL / "kernel.json", json.dumps(kernel))
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{short}/door")
        door.listen(128)
        told = [sys.executable, warm.__file__, "serve", str(door.fileno()), str(life), *WARM]
        silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        served = subprocess.Popen(told, env=environment, pass_fds=[door.fileno(), life], **silent)
    environment[warm.ADDRESS] = f"{short}/door"
    environment["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(short), environment.get("JUPYTER_PATH")]))
    return served


def _asked(told: dict) -> str:
    """The resources of a rule in Snakemake's words."""
    words = {"mem_mb": told["memory_mb"], "runtime": math.ceil(told["minutes"]) + 5}  # the page's own limit comes first
    if told["gpus"]:
        words["gres"] = f"gpu:{told['gpus']}"
    words |= {name: value for name, value in told.items() if name not in ("minutes", "memory_mb", "gpus")}
    return ", ".join(f"{name}={value!r}" for name, value in words.items())


def _memory_mb() -> int:
    """What is free on this machine, and at least what the largest page on file asks for, so that it can run at all."""
    import psutil

    told = json.loads((folder() / "pages.json").read_text()).values()
    largest = max(each["memory_mb"] for each in told)
    return max(largest, psutil.virtual_memory().available >> 20)
