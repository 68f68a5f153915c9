"""Pages are executed, recalled, resumed and reported by a real engine, on tiny specs."""

import json
import math
import os
import tempfile
from pathlib import Path

import msgspec
import nbformat
import pytest

from lowbit import paths
from lowbit.__main__ import main
from lowbit.batch import engine, journal, pages, plan, resources
from lowbit.batch.run import alone, run
from lowbit.plots import templates
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import store, study
from lowbit.studies.spec import RunSpec

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
    reports = []
    outcome = run(plan.make("pair"), 2, report=lambda *report: reports.append(report))
    assert {page.name for page in outcome.executed} == {first, both}
    assert list(outcome.failed) == [second]
    assert "cannot write" in outcome.failed[second]
    assert {page.name for news, _ in reports for page, _ in news} == {first, second, both}
    assert reports[-1][1].ended == reports[-1][1].total == 3
    assert main(["why", bad.key]) == 0
    story = capsys.readouterr().out
    assert all(word in story for word in ("cannot write", "lowbit.recall", str(pages.unfinished(second))))

    record = store.load(good)
    page = nbformat.read(Page("train", good).path, as_version=4)
    assert page.cells[0].source.startswith("# markov · lstm · ternary")
    assert record.digest in str(page.cells[-1].outputs)
    drawn = [cell for cell in page.cells if "mystnb" in cell.metadata]
    assert all("image/svg+xml" in output.data for cell in drawn for output in cell.outputs)
    assert all(cell.outputs for cell in drawn)
    figures = [cell.metadata["mystnb"]["figure"]["name"] for cell in drawn]
    assert len(figures) == len(set(figures)) > 0
    assert all(good.key in name for name in figures)
    assert not Page("train", bad).path.exists()
    assert record.machine["threads"] == max(1, os.cpu_count() // 2)

    store.path(bad).rmdir()
    before = store.path(good).read_bytes()
    assert [page.name for page in plan.make("pair", {"seed": "0"}, fresh=True).trained] == [first]
    assert store.path(good).read_bytes() == before  # a plan changes nothing
    store.mark(good)
    assert main(["run", "pair", "--jobs", "2"]) == 0
    assert "3 executed, 0 up to date, 0 failed" in capsys.readouterr().out
    replacement = store.load(good)
    assert replacement.digest == record.digest
    assert replacement.machine["time"] >= record.machine["time"]
    assert store.path(good).read_bytes() != before
    assert plan.make("pair").todo == []
    assert {state for state, members in plan.states("pair").items() if members} == {"done"}


@pytest.mark.parametrize(("module", "same"), [("diagnostics", True), ("results.comparison", False)])
def test_a_page_is_drawn_again_after_a_change_of_the_modules_that_draw_it(monkeypatch, module, same):
    page, bare = Page("compare", RunSpec()), pages.provenance.bare
    before, changed = pages.fingerprint(page), f"lowbit.plots.{module}"
    monkeypatch.setattr(pages.provenance, "bare", lambda name: "other" if name == changed else bare(name))
    assert (pages.fingerprint(page) == before) is same


def test_half_a_page_is_not_a_page():
    page = Page("train", RunSpec())
    page.path.parent.mkdir(parents=True)
    for text in ("", "{", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'):
        page.path.write_text(text)
        assert not pages.is_current(page)


def test_jobs_are_counted_from_one(pair):
    with pytest.raises(InputError, match="not 0"):
        run(plan.make("pair"), 0)


def test_two_batches_do_not_share_a_root(pair):
    with alone(), pytest.raises(InputError, match="another"):
        run(plan.make("pair"), 1)


def test_every_budget_has_resources_and_an_unknown_one_is_refused():
    for name in study.STUDIES:
        assert all(resources.resources(spec.folder)["minutes"] > 0 for spec in study.build(name))
    with pytest.raises(InputError, match="no budget 'huge'; known: smoke"):
        resources.resources("huge")


def test_a_root_may_replace_the_table_of_resources(home):
    home.joinpath("resources.toml").write_text("[smoke]\nminutes = 0.5\n")
    assert resources.resources("smoke")["minutes"] == 0.5
    home.joinpath("resources.toml").write_text("[smoke")
    with pytest.raises(InputError, match="resources.toml"):
        resources.resources("smoke")


def test_a_killed_attempt_is_interrupted_and_not_running():
    page = Page("train", RunSpec())
    assert journal.state(page) == "open"
    entry = journal.Entry("running", 0.0, 1, True)
    journal.write(page, entry)
    assert journal.state(page) == "interrupted"
    with store.hold(page.name.replace("/", "-")):
        assert journal.state(page) == "running"


def test_an_unknown_page_is_refused_with_those_that_failed():
    with pytest.raises(InputError, match="no attempt at 'markov' is recorded; failed: none"):
        journal.why("markov")


ODD = "a 'root' {x} {0} \"$HOME\" `id` %s \\ ; & # *\nof Zo\u00eb"


def test_a_batch_runs_with_a_relative_root_a_long_temporary_folder_and_no_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOWBIT_HOME", ODD)
    monkeypatch.setenv("PYTHONPATH", str(paths.SOURCE) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    compiled = os.environ.get("NUMBA_CACHE_DIR", str(Path.home() / ".cache"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", compiled)  # what is compiled already need not be again
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 40)))
    os.mkdir(tempfile.tempdir)
    spec = RunSpec(budget=TINY)
    monkeypatch.setitem(study.STUDIES, "one", lambda: [spec])
    monkeypatch.setattr(templates, "pages", lambda runs: ([Page("train", spec)], []))
    assert run(plan.make("one"), 1).failed == {}
    assert store.load(spec) is not None
    assert pages.is_current(Page("train", spec))
    assert paths.root() == tmp_path / ODD
    assert not os.listdir(tempfile.tempdir)


LOST = {
    "WorkflowError:\nFailed to open source file x.\n": "WorkflowError: Failed to open source file x.",
    "Traceback\n  File\nKeyError: 'uid'\nOSError: later\n": "KeyError: 'uid'",
    "Error in rule a:\n    message: SLURM sbatch failed. The error message was 'sbatch: error: no account'.\n": (
        "SLURM sbatch failed. The error message was 'sbatch: error: no account'."
    ),
    "Error in rule a:\n    jobid: 1\n": "no module named torch",
    "": "no module named torch",
}


@pytest.mark.parametrize(("log", "error"), LOST.items())
def test_a_lost_worker_is_reported_with_the_first_error_of_the_engine_or_its_own_last_line(log, error):
    store.write(engine.folder() / "engine.log", log)
    store.write(journal.log("runs/lost"), "begun\n\nno module named torch\n")
    assert engine.failure("runs/lost") == error
    assert engine.failure("runs/other") == (error if "module" not in error else "the engine has no error in its log")


@pytest.mark.parametrize(("table", "threads"), [("", 1), ("threads = 3\n", 3)])
def test_a_page_on_a_cluster_has_one_thread_unless_its_budget_says_more(home, table, threads):
    home.joinpath("resources.toml").write_text(f"[smoke]\n{table}slurm_partition = 'a \"b\" {{c}}'\n")
    engine.write([Page("train", RunSpec())], None)
    rules = (engine.folder() / "Snakefile").read_text()
    assert f"threads: {threads}\n" in rules
    assert "slurm_partition='a \"b\" {c}'" in rules
    engine.write([Page("train", RunSpec())], 7)
    assert "threads: 7\n" in (engine.folder() / "Snakefile").read_text()


@pytest.mark.parametrize(
    "text",
    [
        *("smoke = 5", "[smoke]\nminutes = 'x'", "[smoke]\nminutes = -1", "[smoke]\nminutes = nan", "\xff"),
        *("[smoke]\nminutes = true", "[smoke]\nmemory_mb = 0.5", "[smoke]\ngpus = -1", "[smoke]\nthreads = 0"),
        *(
            "[smoke]\n'a b' = 1",
            "[smoke]\nmem_mb = 1",
            "[smoke]\nlambda = 1",
            "[smoke]\npartition = ['a']",
            "[smoke]\nx = " + "[" * 3000,
        ),
    ],
)
def test_invalid_resources_are_refused_before_anything_runs(home, pair, text):
    home.joinpath("resources.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"resources\.toml") as error:
        run(plan.make("pair"), 1)
    assert "\n" not in str(error.value)
    assert not engine.folder().exists()


def test_a_missing_cluster_is_reported(pair, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="no SLURM"):
        run(plan.make("pair"), 1, "slurm")


@pytest.mark.parametrize(
    "change",
    [
        *({"state": "lost"}, {"state": 5}, {"began": "now"}, {"began": math.nan}, {"began": 1e300}, {"seconds": None}),
        *({"attempt": "1"}, {"error": ["x"]}, {"host": 1}, {"more": 1}),
    ],
)
def test_an_invalid_journal_is_ignored(change):
    page, entry = Page("train", RunSpec()), journal.Entry("done", 0.0, 1, True)
    journal.write(page, entry)
    assert journal.read(page) == entry
    file = paths.runs() / "journal" / f"{page.name}.json"
    store.write(file, json.dumps(msgspec.to_builtins(entry) | change))
    assert journal.read(page) is None
    assert journal.entries() == {}
    assert journal.state(page) == "open"


def cell(source, count, began):
    time = {"start_time": "2026-01-01T00:00:00" if began else None, "status": "completed"}
    return nbformat.v4.new_code_cell(source, execution_count=count, metadata={"papermill": time})


def test_a_killed_page_is_reported_with_its_last_cell():
    page = Page("train", RunSpec())
    journal.write(page, journal.Entry("running", 0.0, 1, True))
    cells = [cell("good = 1", 1, True), cell("deadly = 1", 2, True), cell("never = 1", None, False)]
    store.write(pages.unfinished(page.name), nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    story = journal.why(page.spec.key)
    assert "in the cell" in story
    assert "deadly" in story
    assert "good" not in story
    assert "never" not in story
