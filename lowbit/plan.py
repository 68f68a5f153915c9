"""What a batch would do: which pages need nothing, which are drawn, which trained, and how long that may take."""

import re
import statistics
from typing import NamedTuple

from lowbit import journal, pages, store, study, templates
from lowbit.freshness import judge
from lowbit.registry import InputError, parse
from lowbit.spec import REGISTRIES, RunSpec, fields
from lowbit.templates import TEMPLATES, Page

COMMA = re.compile(r",(?![^(]*\))")  # outside of parentheses


class Plan(NamedTuple):
    """The pages of a study, or of a part of it, by what they need."""

    stages: tuple[list[Page], ...]  # the pages of a stage show what those before it made
    current: list[Page]  # need nothing
    drawn: list[Page]  # from records on file
    trained: list[Page]
    again: list[RunSpec]  # of those trained, the ones whose record is replaced
    seconds: dict[str, float]  # by page name, where something like it was done before
    retries: int

    @property
    def todo(self) -> list[Page]:
        """All that is executed."""
        return [*self.trained, *self.drawn]


def make(name: str, only: dict[str, str] | None = None, fresh: bool = False, stale: bool = False) -> Plan:
    """The plan of a study; raises `InputError`.

    `fresh` replaces all records, and goes on where an earlier `fresh` was interrupted; `stale` those that today's
    code does not compute, or that do not say.
    """
    runs = chosen(study.build(name), only or {})
    stages = templates.pages(runs)
    if only:
        kept = {parse(run.quantizer)[0] for run in runs}
        stages = tuple([p for p in stage if _is_about(p, kept)] for stage in stages)
    again = [run for run in runs if store.is_asked_again(run)]
    if fresh and not again:
        again = [run for run in runs if store.load(run) is not None]
    elif stale:
        again += [run for run in runs if run not in again and freshness(run) in ("stale", "unknown")]
    current, drawn, trained = [], [], []
    changed = set()  # data and budgets that will have other records
    for page in (page for stage in stages for page in stage):
        if page.template == "train" and (page.spec in again or store.current(page.spec) is None):
            trained.append(page)
            changed.add((page.spec.dataset, page.spec.folder))
        else:
            over = TEMPLATES[page.template].over and (page.spec.dataset, page.spec.folder) in changed
            (current if pages.is_current(page) and not over else drawn).append(page)
    retries = study.RETRIES.get(name, 0)
    return Plan(stages, current, drawn, trained, again, _seconds(trained, drawn), retries)


def chosen(runs: list[RunSpec], only: dict[str, str]) -> list[RunSpec]:
    """The runs whose fields are among the values named: `quantizer=ternary,binary`.

    A name takes all its options in; `ternary(stochastic=True)` is that alone. Raises `InputError` where nothing fits.
    """
    for field, text in only.items():
        if field not in fields():
            raise InputError(f"a run has no field {field!r}; known: {', '.join(fields())}")
        wanted = [word.strip() for word in COMMA.split(text)]
        if "" in wanted:
            raise InputError(f"{field}={text} has an empty value; write it as {field}=A,B")
        if field in REGISTRIES:
            wanted = [REGISTRIES[field].canonical(word) if "(" in word else word for word in wanted]
        known = list(dict.fromkeys(str(getattr(run, field)) for run in runs))
        runs = [run for run in runs if _names(str(getattr(run, field))) & set(wanted)]
        if not runs:
            raise InputError(f"no run with {field}={text}; there are: {', '.join(known)}")
    return runs


def freshness(run: RunSpec) -> str:
    """Whether today's code computes the record of a run: fresh, stale, unknown, or open where there is none."""
    record = store.load(run)
    return "open" if record is None else judge(record)[0]


def remarks(name: str) -> dict[str, dict[str, str]]:
    """What is to be said of the records of a study's runs: the reasons by key."""
    records = [record for run in study.build(name) if (record := store.load(run)) is not None]
    verdicts = {record.run.key: judge(record) for record in records}
    return {
        "records of other code": {key: reason for key, (state, reason) in verdicts.items() if state == "stale"},
        "records of unknown code": {key: reason for key, (state, reason) in verdicts.items() if state == "unknown"},
        "diverged": {record.run.key: "" for record in records if record.diverged},
    }


def states(name: str) -> dict[str, list[Page]]:
    """The pages of a study by state: done, recorded (trained, not drawn), open, running, interrupted, failed."""
    found: dict[str, list[Page]] = {}
    for state in ("done", "recorded", "running", "interrupted", "failed", "open"):
        found[state] = []
    for page in (page for stage in templates.pages(study.build(name)) for page in stage):
        told = journal.state(page)
        if pages.is_current(page):
            told = "done"
        elif told in ("done", "open"):
            told = "recorded" if page.template == "train" and store.load(page.spec) else "open"
        found[told].append(page)
    return found


def _is_about(page: Page, kept: set[str]) -> bool:
    """Whether a page belongs to a part of a study, with the quantizers that the part has."""
    if page.template == "quantizer":
        return page.spec.quantizer in kept
    return isinstance(page.spec, RunSpec)


def _names(value: str) -> set[str]:
    return {value, value.partition("(")[0]}


def _seconds(trained: list[Page], drawn: list[Page]) -> dict[str, float]:
    told: dict[tuple, list[float]] = {}
    for record in store.scan().records:
        for like in _likes(record.run):
            told.setdefault(like, []).append(record.seconds)
    for entry in journal.entries().values():
        if entry.state == "done" and not entry.trained:
            told.setdefault(("drawn",), []).append(entry.seconds)
    known = {page.name: _first(told, [*_likes(page.spec)]) for page in trained}
    known |= {page.name: _first(told, [("drawn",)]) for page in drawn}
    return {name: seconds for name, seconds in known.items() if seconds is not None}


def _likes(run: RunSpec) -> list[tuple]:
    """The run itself, those with other seeds, those of the same data, budget and cell, and of any cell."""
    same = run.dataset, run.budget
    rest = run.quantizer, run.norm, run.quantized, run.activations
    return [(*same, run.cell, *rest, run.seed), (*same, run.cell, *rest), (*same, run.cell), same]


def _first(told: dict[tuple, list[float]], likes: list[tuple]) -> float | None:
    return next((statistics.mean(told[like]) for like in likes if like in told), None)
