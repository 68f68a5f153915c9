"""Pages are executed, recalled, resumed and reported by a real engine and real kernels, on tiny specs."""

import dataclasses
import json
import os

import nbformat
import pytest

from lowbit import batch, engine, journal, pages, paths, plan, store, study, templates
from lowbit.__main__ import main
from lowbit.registry import InputError
from lowbit.spec import RunSpec
from lowbit.templates import Page

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


@pytest.fixture
def pair(monkeypatch):
    """A study of two runs and a page that compares them."""
    runs = [RunSpec(budget=TINY), RunSpec(budget=TINY, seed=1)]
    monkeypatch.setitem(study.STUDIES, "pair", lambda: runs)
    monkeypatch.setattr(
        templates, "pages", lambda runs: ([Page("train", run) for run in runs], [Page("compare", runs[0])])
    )
    monkeypatch.setenv("PYTHONPATH", str(paths.SOURCE) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    return runs


def test_a_batch_executes_recalls_replaces_and_reports(pair, capsys):
    good, bad = pair
    first, second, both = (page.name for stage in templates.pages(pair) for page in stage)
    store.path(bad).mkdir(parents=True)  # a record can never be written there
    told = []
    outcome = batch.run(plan.make("pair"), 2, watch=lambda *each: told.append(each))
    assert {page.name for page in outcome.executed} == {first, both}
    assert list(outcome.failed) == [second]
    assert "cannot write" in outcome.failed[second]
    assert {page.name for news, _ in told for page, _ in news} == {first, second, both}
    assert told[-1][1].ended == told[-1][1].total == 3
    assert main(["why", bad.key]) == 0
    story = capsys.readouterr().out
    assert all(word in story for word in ("cannot write", "lowbit.recall", str(pages.unfinished(second))))

    record = store.load(good)
    page = nbformat.read(Page("train", good).path, as_version=4)
    assert page.cells[0].source.startswith("# markov · lstm · ternary")
    assert record.digest in str(page.cells[-1].outputs)
    shown = [cell for cell in page.cells if "mystnb" in cell.metadata]
    assert all("image/svg+xml" in output.data for cell in shown for output in cell.outputs)
    assert all(cell.outputs for cell in shown)
    figures = [cell.metadata["mystnb"]["figure"]["name"] for cell in shown]
    assert len(figures) == len(set(figures)) > 0
    assert all(good.key in name for name in figures)
    assert not Page("train", bad).path.exists()
    assert record.machine["threads"] == max(1, os.cpu_count() // 2)

    store.path(bad).rmdir()
    before = store.path(good).read_bytes()
    made = plan.make("pair", {"seed": "0"}, fresh=True)
    assert [page.name for page in made.trained] == [first]
    assert store.path(good).read_bytes() == before  # a plan changes nothing
    store.ask_again(good)
    assert main(["run", "pair", "--jobs", "2"]) == 0
    assert "3 executed, 0 up to date, 0 failed" in capsys.readouterr().out
    again = store.load(good)
    assert again.digest == record.digest
    assert again.machine["time"] >= record.machine["time"]
    assert store.path(good).read_bytes() != before
    assert plan.make("pair").todo == []
    assert {state for state, found in plan.states("pair").items() if found} == {"done"}


def test_a_page_is_drawn_again_when_what_draws_it_has_changed(monkeypatch):
    page, real = Page("compare", RunSpec()), pages.provenance.bare
    before = pages.fingerprint(page)
    monkeypatch.setattr(pages.provenance, "bare", lambda name: "other" if name == "lowbit.diagrams" else real(name))
    assert pages.fingerprint(page) == before
    monkeypatch.setattr(pages.provenance, "bare", lambda name: "other" if name == "lowbit.figures" else real(name))
    assert pages.fingerprint(page) != before


def test_half_a_page_is_not_a_page():
    page = Page("train", RunSpec())
    page.path.parent.mkdir(parents=True)
    for text in ("", "{", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'):
        page.path.write_text(text)
        assert not pages.is_current(page)


def test_jobs_are_counted_from_one(pair):
    with pytest.raises(InputError, match="not 0"):
        batch.run(plan.make("pair"), 0)


def test_two_batches_do_not_share_a_root(pair):
    with batch.alone(), pytest.raises(InputError, match="another"):
        batch.run(plan.make("pair"), 1)


def test_every_budget_has_resources_and_an_unknown_one_is_told():
    for runs in study.STUDIES.values():
        assert all(engine.resources(run.folder)["minutes"] > 0 for run in runs())
    with pytest.raises(InputError, match="no budget 'huge'; known: smoke"):
        engine.resources("huge")


def test_a_root_may_have_resources_of_its_own(home):
    home.joinpath("resources.toml").write_text("[smoke]\nminutes = 0.5\n")
    assert engine.resources("smoke")["minutes"] == 0.5
    home.joinpath("resources.toml").write_text("[smoke")
    with pytest.raises(InputError, match="resources.toml"):
        engine.resources("smoke")


def test_an_attempt_that_was_killed_is_interrupted_and_not_running():
    page = Page("train", RunSpec())
    assert journal.state(page) == "open"
    entry = journal.Entry("running", 0.0, 1, True)
    store.write(paths.runs() / "journal" / f"{page.name}.json", json.dumps(dataclasses.asdict(entry)))
    assert journal.state(page) == "interrupted"
    with store.hold(page.name.replace("/", "-")):
        assert journal.state(page) == "running"


def test_an_unknown_page_is_told_with_those_that_failed():
    with pytest.raises(InputError, match="nothing is told of 'markov'; failed: none"):
        journal.why("markov")
