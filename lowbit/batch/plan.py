"""The plan of a batch: which pages need nothing, which are drawn, which are trained, and an estimate of the time."""

import re
import statistics
from typing import NamedTuple

from lowbit.batch import journal, pages
from lowbit.plots import templates
from lowbit.plots.templates import TEMPLATES, Page
from lowbit.registry import InputError, parse
from lowbit.studies import store, study
from lowbit.studies.spec import REGISTRIES, RunSpec
from lowbit.training.freshness import judge

COMMA = re.compile(r",(?![^(]*\))")  # outside of parentheses


class Plan(NamedTuple):
    """The pages of a study, or of a part of it, by what they need."""

    stages: tuple[list[Page], ...]  # the pages of a stage show the records of those before it
    current: list[Page]  # need nothing
    drawn: list[Page]  # from records on file
    trained: list[Page]
    replaced: list[RunSpec]  # runs of the trained pages that have a record
    seconds: dict[str, float]  # by page name, where something like it was done before
    retries: int

    @property
    def todo(self) -> list[Page]:
        """The pages to execute."""
        return [*self.trained, *self.drawn]


def make(name: str, only: dict[str, str] | None = None, fresh: bool = False, stale: bool = False) -> Plan:
    """The plan of a study; raises `InputError`.

    `fresh` replaces all records, and goes on where an earlier `fresh` was interrupted; `stale` those that today's
    code does not compute, or that do not say.
    """
    runs = chosen(study.build(name), only or {})
    stages = templates.pages(runs)
    if only:
        names = {parse(run.quantizer)[0] for run in runs}
        stages = tuple([p for p in stage if _is_about(p, names)] for stage in stages)
    replaced = [run for run in runs if store.is_marked(run)]
    if fresh and not replaced:
        replaced = [run for run in runs if store.load(run) is not None]
    elif stale:
        replaced += [run for run in runs if run not in replaced and freshness(run) in ("stale", "unknown")]
    current, drawn, trained = [], [], []
    changed = set()  # data and budgets that will have other records
    for page in (page for stage in stages for page in stage):
        if page.template == "train" and (page.spec in replaced or store.current(page.spec) is None):
            trained.append(page)
            changed.add((page.spec.dataset, page.spec.folder))
        else:
            over = TEMPLATES[page.template].over and (page.spec.dataset, page.spec.folder) in changed
            (current if pages.is_current(page) and not over else drawn).append(page)
    retries = study.RETRIES.get(name, 0)
    return Plan(stages, current, drawn, trained, replaced, _seconds(trained, drawn), retries)


def chosen(runs: list[RunSpec], only: dict[str, str]) -> list[RunSpec]:
    """The runs whose fields are among the values named: `quantizer=ternary,binary`.

    A name takes all its options in; `ternary(stochastic=True)` is that alone. Raises `InputError` where nothing fits.
    """
    for field, argument in only.items():
        values = [value.strip() for value in COMMA.split(argument)]
        if "" in values:
            raise InputError(f"{field}={argument} has an empty value; write it as {field}=A,B")
        if field in REGISTRIES:
            values = [REGISTRIES[field].canonical(value) if "(" in value else value for value in values]
        texts = {run: str(getattr(run, field)) for run in runs}
        runs = [run for run, text in texts.items() if text in values or text.partition("(")[0] in values]
        if not runs:
            raise InputError(f"no run with {field}={argument}; there are: {', '.join(dict.fromkeys(texts.values()))}")
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
    by_state = {state: [] for state in ("done", "recorded", "running", "interrupted", "failed", "open")}
    for page in (page for stage in templates.pages(study.build(name)) for page in stage):
        state = journal.state(page)
        if pages.is_current(page):
            state = "done"
        elif state in ("done", "open"):
            state = "recorded" if page.template == "train" and store.load(page.spec) else "open"
        by_state[state].append(page)
    return by_state


def _is_about(page: Page, names: set[str]) -> bool:
    """Whether a page belongs to a part of a study, with the quantizers that the part has."""
    if page.template == "quantizer":
        return page.spec.quantizer in names
    return isinstance(page.spec, RunSpec)


def _seconds(trained: list[Page], drawn: list[Page]) -> dict[str, float]:
    """The mean seconds of the most similar runs on file for each page to train, of all drawn pages for one to draw."""
    by_likeness: dict[tuple, list[float]] = {}
    for record in store.scan().records:
        for likeness in _likenesses(record.run):
            by_likeness.setdefault(likeness, []).append(record.seconds)
    seconds = {}
    for page in trained:
        similar = next((by_likeness[like] for like in _likenesses(page.spec) if like in by_likeness), None)
        if similar:
            seconds[page.name] = statistics.mean(similar)
    times = [entry.seconds for entry in journal.entries().values() if entry.state == "done" and not entry.trained]
    return seconds | ({page.name: statistics.mean(times) for page in drawn} if times else {})


def _likenesses(run: RunSpec) -> list[tuple]:
    """The run itself, those with other seeds, those of the same data, budget and cell, and of any cell."""
    same = run.dataset, run.budget
    rest = run.quantizer, run.norm, run.quantized, run.activations
    return [(*same, run.cell, *rest, run.seed), (*same, run.cell, *rest), (*same, run.cell), same]
