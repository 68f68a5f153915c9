import dataclasses
import math

import pytest
from matplotlib.figure import Figure

from lowbit import paths, quantizers
from lowbit.datasets import Recipe
from lowbit.plots import quantizers as pages
from lowbit.plots import tables
from lowbit.plots.results import comparison, reported, run
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import train

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


@pytest.fixture
def records():
    return [train.recall(RunSpec(budget=TINY, quantizer=q)) for q in ("full", "ternary", "binary(stochastic=True)")]


@pytest.mark.parametrize("name", quantizers.names())
def test_every_quantizer_has_figures_and_texts(name):
    quantizer = quantizers.build(name)
    for figure in (pages.staircase, pages.sampling_law, pages.codes, pages.gradient):
        assert isinstance(figure(quantizer), Figure)
    assert f"{{cite:t}}`{quantizer.reference}`" in pages.card(quantizer).data
    assert "bits a weight" in pages.packed(quantizer).data


def test_every_record_has_figures_and_texts(records):
    for record in records:
        for figure in (run.curve, run.evaluations, run.masters):
            assert isinstance(figure(record), Figure)
        assert record.digest in run.provenance(record).data
        assert f"{record.metrics['deployed']:.3f}" in run.scores(record).data


def test_a_diverged_run_is_marked(records):
    curve = [point | {"valid": math.inf, "train_nats": math.nan, "skipped": 3} for point in records[0].curve]
    lost = {"as_published": math.nan, "deployed": math.nan, "sampled": {"mean": math.nan, "std": 0.0, "values": []}}
    diverged = dataclasses.replace(records[0], curve=curve, metrics=lost)
    run.evaluations(diverged).canvas.draw()
    figure = run.curve(diverged)
    figure.canvas.draw()
    assert "3 of 4 updates skipped" in "".join(figure.axes[0].get_title(place) for place in ("left", "center"))
    assert "nan" in run.scores(diverged).data


def test_a_comparison_has_every_record_and_its_figure_every_row(records):
    frame = comparison.records(records[0].run)
    assert set(frame["key"]) == {record.run.key for record in records}
    text = comparison.table(frame).data
    assert all(record.run.key in text for record in records)
    figure = comparison.grid(frame, RunSpec(dataset="ptb_char"))
    assert len(figure.axes[0].get_yticks()) == len(records)
    assert "rest on one seed and are no finding" in comparison.verdict(frame).data


def test_a_comparison_without_records_says_so():
    spec = RunSpec()
    frame = comparison.records(spec)
    assert frame.empty
    assert isinstance(comparison.grid(frame, spec), Figure)
    assert "no record yet" in comparison.table(frame).data
    assert "No records yet" in comparison.verdict(frame).data
    assert "No paper" in reported.beside(spec, frame).data


@pytest.mark.parametrize("name", ["ptb_char", "ptb_word", "mnist_seq", "warpeace"])
def test_reported_values_are_compared_with_the_score_alone(name):
    spec, frame = RunSpec(dataset=name), reported.reported()
    assert set(reported.comparable(spec)["metric"]) == {spec.data.metric.name}
    assert len(reported.comparable(spec)) <= sum(frame["dataset"] == name)


def test_recalled_values_of_papers_are_marked():
    spec = RunSpec(dataset="ptb_char", budget="cpu")
    assert "†" in reported.beside(spec, comparison.records(spec)).data


def test_tables_in_the_book_are_those_of_the_committed_records(monkeypatch):
    monkeypatch.delenv("LOWBIT_HOME")
    for name, text in tables.texts().items():
        assert (paths.book() / "tables" / name).read_text() == text + "\n", f"run: lowbit tables ({name})"


def test_committed_records_are_complete_and_have_no_problems(monkeypatch):
    monkeypatch.delenv("LOWBIT_HOME")
    scan = store.scan("search", *store.EVIDENCE)
    assert not scan.problems
    for record in scan.records:
        assert record.run.key
        assert Recipe(**record.recipe) == record.run.recipe


def test_a_table_without_rows_has_the_columns_of_a_row(records):
    assert list(store.frame(records).columns) == list(store.frame([]).columns)


def test_writing_tables_twice_changes_nothing(records):
    assert len(tables.write()) == len(tables.texts())
    assert tables.write() == []
