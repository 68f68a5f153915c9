"""Bring the pages of a plan up to date and follow what their workers write into the journal; remove what is done."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import Timeout

from lowbit import paths
from lowbit.batch import engine, journal, pages
from lowbit.batch.journal import Entry
from lowbit.batch.plan import Plan
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.training import checkpoint

TICK = 0.3  # seconds between two reads of the journal


class Progress(NamedTuple):
    """The counts of a batch that runs."""

    ended: int
    total: int
    failed: int
    running: list[tuple[Page, float]]  # with the seconds since each began
    remaining: float | None  # seconds, where every page that remains has an estimate


class Outcome(NamedTuple):
    """How a batch ended."""

    executed: list[Page]
    current: list[Page]  # needed nothing
    failed: dict[str, str]  # error by page name


Report = Callable[[list[tuple[Page, Entry]], Progress], None]  # attempts that have just ended, and the counts


def run(plan: Plan, jobs: int, executor: str = "local", report: Report = lambda *_: None) -> Outcome:
    """Brings the pages of a plan up to date; a failing page is reported and stops no other.

    Each job has an equal share of the cores of this machine as threads.
    """
    engine.check(plan.todo, jobs, executor)
    for page in plan.trained[:1]:
        store.probe(page.spec)
    outcome = Outcome([], [], {})
    with alone(), engine.Engine(jobs, executor) if plan.todo else contextlib.nullcontext() as snakemake:
        for spec in plan.replaced:
            store.mark(spec)
        for stage in plan.stages:
            todo = []
            for page in stage:
                (outcome.current if pages.is_current(page) else todo).append(page)
            if todo:
                _Stage(todo, plan, jobs, outcome).run(snakemake, report)
    return outcome


class _Stage:
    """Pages that do not depend on each other, while they are executed."""

    def __init__(self, todo: list[Page], plan: Plan, jobs: int, outcome: Outcome):
        self.todo, self.plan, self.jobs, self.outcome = todo, plan, jobs, outcome
        self.began = time.time()
        self.entries: dict[str, Entry] = {}  # the last attempt by page name
        self.versions: dict[Page, tuple[int, int]] = {}  # of the file of each entry, so that none is read twice

    def run(self, snakemake: engine.Engine, report: Report) -> None:
        engine.write(self.todo, snakemake.threads)
        process, ended = snakemake.start(self.plan.retries), False
        while not ended:
            ended = process.poll() is not None
            report(self._news(), self._progress())
            if not ended:
                time.sleep(TICK)
        for page in self.todo:
            entry = self.entries.get(page.name)
            if (entry and entry.state == "done") or pages.is_current(page):
                self.outcome.executed.append(page)
            elif entry and entry.state == "failed":
                self.outcome.failed[page.name] = f"{entry.error} (see: lowbit why {page.name.rpartition('/')[2]})"
            else:
                error = f"its worker was lost: {engine.failure(page.name)} (see {engine.folder() / 'engine.log'})"
                self.outcome.failed[page.name] = error

    def _news(self) -> list[tuple[Page, Entry]]:
        versions = {page: journal.version(page) for page in self.todo}
        entries = [(page, journal.read(page)) for page in self.todo if versions[page] != self.versions.get(page)]
        self.versions = versions
        changed = [(p, e) for p, e in entries if e and e.began >= self.began and e != self.entries.get(p.name)]
        self.entries |= {page.name: entry for page, entry in changed}
        return [(page, entry) for page, entry in changed if entry.state != "running"]

    def _progress(self) -> Progress:
        attempts = [(page, self.entries.get(page.name)) for page in self.todo]
        running = [(page, time.time() - entry.began) for page, entry in attempts if entry and entry.state == "running"]
        states = [entry.state for entry in self.entries.values()]
        times = [entry.seconds for entry in self.entries.values() if entry.state == "done"]
        mean = sum(times) / len(times) if times else None
        due = {p.name: self.plan.seconds.get(p.name, mean) for p, e in attempts if not e or e.state == "running"}
        remaining = None
        if None not in due.values():
            spent = sum(min(seconds, due[page.name]) for page, seconds in running)
            remaining = (sum(due.values()) - spent) / self.jobs
        before = len(self.outcome.executed) + len(self.outcome.failed)
        failed = len(self.outcome.failed) + states.count("failed")
        total = max(len(self.plan.todo), before + len(self.todo))
        return Progress(before + len(self.todo) - len(due), total, failed, running, remaining)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Holds the lock of the root, which ends with the process; raises `InputError` while another batch holds it."""
    try:
        lock = store.hold("batch").acquire(blocking=False)
    except Timeout:
        raise InputError(f"another `lowbit run` is at work in {paths.root()}") from None
    with lock:
        yield


def clean() -> list[Path]:
    """Removes what no later batch needs and returns it; raises `InputError` while a batch runs."""
    with alone():
        removed = removable()
        for path in removed:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return removed


def removable() -> list[Path]:
    """Files and folders of finished work, not those that a run resumes from or that show an error.

    Checkpoints and logs of finished pages, temporary files of killed processes, the rules of the last batch.
    """
    runs = paths.runs()
    finished = {f"{record.run.key}.pt" for record in store.scan().records if not store.is_marked(record.run)}
    checkpoints = (runs / "checkpoints").glob("*.pt*")
    files = [file for file in checkpoints if file.name.removesuffix(checkpoint.DAMAGED) in finished]
    for name, entry in journal.entries().items():
        if entry.state == "done":
            files += [file for file in (journal.log(name), pages.unfinished(name)) if file.exists()]
    for folder in (paths.results(), runs, paths.book() / "pages"):
        files += folder.rglob(".*.part")
    return sorted([*files, *(folder for folder in (runs / "batch", runs / "verify") if folder.exists())])
