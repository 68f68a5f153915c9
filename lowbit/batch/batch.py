"""A batch: the pages of a plan are brought up to date, watched by what their workers write into the journal."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from filelock import Timeout

from lowbit import paths
from lowbit.batch import engine, journal, pages
from lowbit.batch.journal import Entry
from lowbit.batch.plan import Plan
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import store

TICK = 0.3  # seconds between two looks at the journal


class Progress(NamedTuple):
    """How far a batch is."""

    ended: int
    total: int
    failed: int
    running: list[tuple[Page, float]]  # with the seconds since each began
    left: float | None  # seconds, where anything like what is left was done before


class Outcome(NamedTuple):
    """How a batch ended."""

    executed: list[Page]
    current: list[Page]  # needed nothing
    failed: dict[str, str]  # error by page name


Watch = Callable[[list[tuple[Page, Entry]], Progress], None]  # attempts that have just ended, and how far all is


def run(plan: Plan, jobs: int, executor: str = "local", watch: Watch | None = None) -> Outcome:
    """Brings the pages of a plan up to date; a failing page is reported and stops no other.

    The cores of this machine are shared out: each of the jobs has as many threads as there are cores for it.
    """
    engine.check(plan.todo, jobs, executor)
    for page in plan.trained[:1]:
        store.probe(page.spec)
    outcome = Outcome([], [], {})
    with alone(), engine.Engine(jobs, executor) if plan.todo else contextlib.nullcontext() as at_work:
        for spec in plan.again:
            store.ask_again(spec)
        for stage in plan.stages:
            todo = []
            for page in stage:
                (outcome.current if pages.is_current(page) else todo).append(page)
            if todo:
                _Stage(todo, plan, jobs, outcome).run(at_work, watch)
    return outcome


class _Stage:
    """Pages that do not wait for each other, while they are at work."""

    def __init__(self, todo: list[Page], plan: Plan, jobs: int, outcome: Outcome):
        self.todo, self.plan, self.jobs, self.outcome = todo, plan, jobs, outcome
        self.began = time.time()
        self.seen: dict[str, Entry] = {}  # the last attempt by page name

    def run(self, at_work: engine.Engine, watch: Watch | None) -> None:
        engine.write(self.todo, at_work.threads)
        process, over = at_work.start(self.plan.retries), False
        while not over:
            over = process.poll() is not None
            news = self._news()
            if watch is not None:
                watch(news, self._progress())
            if not over:
                time.sleep(TICK)
        for page in self.todo:
            self._close(page)

    def _news(self) -> list[tuple[Page, Entry]]:
        news = []
        for page in self.todo:
            entry = journal.read(page)
            if entry is None or entry.began < self.began or entry == self.seen.get(page.name):
                continue
            self.seen[page.name] = entry
            if entry.state != "running":
                news.append((page, entry))
        return news

    def _progress(self) -> Progress:
        states = {page.name: self.seen[page.name].state for page in self.todo if page.name in self.seen}
        running = [
            (page, time.time() - self.seen[page.name].began) for page in self.todo if states.get(page.name) == "running"
        ]
        spent = [entry.seconds for entry in self.seen.values() if entry.state == "done"]
        usual = sum(spent) / len(spent) if spent else None
        left, ended = None, [name for name, state in states.items() if state != "running"]
        due = {page.name: self.plan.seconds.get(page.name, usual) for page in self.todo if page.name not in ended}
        if None not in due.values():
            left = sum(due.values()) - sum(min(seconds, due[page.name]) for page, seconds in running)
        before = len(self.outcome.executed) + len(self.outcome.failed)
        failed = len(self.outcome.failed) + list(states.values()).count("failed")
        total = max(len(self.plan.todo), before + len(self.todo))
        return Progress(before + len(ended), total, failed, running, None if left is None else left / self.jobs)

    def _close(self, page: Page) -> None:
        entry = self.seen.get(page.name)
        if (entry is not None and entry.state == "done") or pages.is_current(page):
            self.outcome.executed.append(page)
        elif entry is not None and entry.state == "failed":
            self.outcome.failed[page.name] = f"{entry.error} (see: lowbit why {page.name.rpartition('/')[2]})"
        else:
            log = engine.folder() / "engine.log"
            self.outcome.failed[page.name] = f"its worker was lost: {engine.failure(page.name)} (see {log})"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One batch at a time in one root; the lock ends with its process."""
    lock = store.hold("batch")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"another `lowbit run` is at work in {paths.root()}") from None
    try:
        yield
    finally:
        lock.release()
