"""Diagnoses are saved, recalled, refused where damaged, and drawn."""

import dataclasses
import json

import nbformat
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lowbit import paths
from lowbit.__main__ import main
from lowbit.batch import pages
from lowbit.plots import diagnostics, templates
from lowbit.plots.templates import Page
from lowbit.studies import store, study
from lowbit.studies.spec import RunSpec
from lowbit.training import diagnose, measurements, train, trained

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"
SPEC = RunSpec(budget=TINY, quantizer="ternary(stochastic=True)")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measurements, "SEGMENTS", 8)
    monkeypatch.setattr(measurements, "STEPS", 2)
    monkeypatch.setattr(measurements, "SAMPLES", 2)
    yield
    plt.close("all")


def forbidden(*_):
    raise AssertionError("measured again")


def test_a_diagnosis_is_recalled_and_not_measured_again(monkeypatch):
    first = diagnose.recall(SPEC)
    assert first.same
    monkeypatch.setattr(diagnose, "examine", forbidden)
    assert diagnose.recall(SPEC) == first == diagnose.load(SPEC)
    assert diagnose.scan("smoke").diagnoses == [first]
    assert diagnose.scan("cpu").diagnoses == []
    assert [record.run for record in store.scan().records] == [SPEC]


def test_a_damaged_diagnosis_is_refused_and_named():
    diagnose.recall(SPEC)
    file = diagnose.path(SPEC)
    whole = file.read_text()
    told = json.loads(whole)
    told["jacobians"]["radius"][0][0] += 1e-3
    for text, reason in (("{", "no diagnosis"), (whole[:-9], "no diagnosis"), (json.dumps(told), "digest")):
        file.write_text(text)
        assert diagnose.load(SPEC) is None
        (problem,) = diagnose.scan().problems
        assert file.name in problem
        assert reason in problem
    other = diagnose.path(dataclasses.replace(SPEC, seed=1))
    other.write_text(whole)
    file.unlink()
    assert "holds the diagnosis of" in diagnose.scan().problems[0]


def test_a_diagnosis_of_a_changed_record_is_ignored():
    first = diagnose.recall(SPEC)
    record = store.load(SPEC)
    record.weights["layers.0.weight_h"]["sha256"] = "f" * 64
    store.save(record.sealed())
    assert diagnose.load(SPEC) is None
    again = diagnose.recall(SPEC)
    assert not again.same
    assert diagnose.load(SPEC) == again
    assert (again.gates, again.jacobians) == (first.gates, first.jacobians)


def test_only_networks_on_file_are_measured_for_a_page(monkeypatch):
    other = dataclasses.replace(SPEC, quantizer="full")
    monkeypatch.setitem(study.STUDIES, "diagnosed", lambda: [SPEC, other])
    assert diagnose.gather(SPEC) == []
    train.recall(SPEC)
    monkeypatch.setattr(train, "train", forbidden)
    assert [each.run for each in diagnose.gather(SPEC)] == [SPEC]
    assert diagnose.gather(RunSpec(dataset="digits")) == []


def test_the_command_prints_its_measurements(capsys):
    assert main(["diagnose", f"budget={TINY}"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("the network of the record", "largest eigenvalue", "gate f", "diagnosis"))


def test_a_page_is_outdated_when_its_records_or_diagnoses_change():
    page = Page("diagnose", RunSpec())
    before = pages.fingerprint(page)
    train.recall(SPEC)
    between = pages.fingerprint(page)
    diagnose.recall(SPEC)
    assert len({before, between, pages.fingerprint(page)}) == 3
    assert page.name == "diagnose/markov-smoke"


def test_every_dataset_and_budget_of_a_study_has_its_page():
    _, last = templates.pages([SPEC, RunSpec(), RunSpec(dataset="digits")])
    assert {page.name for page in last if page.template == "diagnose"} == {
        "diagnose/markov-smoke",
        "diagnose/digits-smoke",
    }
    for run in study.build("diagnosed"):
        assert run in study.build("smoke") or run.folder == "cpu"


DRAWN = [diagnostics.jacobians, diagnostics.gates, diagnostics.by_length, diagnostics.by_batch]


def drawn(figure):
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return figure


def test_diagnoses_and_records_have_figures_and_texts():
    specs = [SPEC, RunSpec(budget=TINY, cell="gru", quantizer="full", norm="none")]
    diagnoses = [diagnose.recall(spec) for spec in specs]
    found = diagnose.records(SPEC)
    for draw in DRAWN:
        assert drawn(draw(diagnoses)).axes[0].lines
    assert len(drawn(diagnostics.jacobians(diagnoses)).axes[0].lines) == len(specs) + 1
    for figure in (diagnostics.samples(diagnoses, found), diagnostics.saturated(found), diagnostics.curves(found)):
        assert drawn(figure).axes[0].lines
    old = dataclasses.replace(found[0], spec={k: v for k, v in found[0].spec.items() if k != "activations"})
    drawn(diagnostics.curves([old, *found[1:]]))
    text = diagnostics.summary(diagnoses, SPEC).data
    assert text.count("the network of the record") == len(specs)


def test_without_diagnoses_the_page_says_so_and_nothing_fails():
    assert "`lowbit diagnose dataset=markov budget=smoke" in diagnostics.summary([], SPEC).data
    for draw in DRAWN:
        assert drawn(draw([])).axes[0].texts[0].get_text().startswith("no network")
    for figure in (
        diagnostics.samples([], []),
        diagnostics.saturated([]),
        diagnostics.curves([]),
        diagnostics.parts([]),
    ):
        assert drawn(figure).axes[0].texts[0].get_text().startswith("no ")


def test_parts_are_means_and_bands_over_seeds():
    chosen = {"cell": "gru", "norm": "none", "budget": TINY}
    for seed in range(2):
        train.recall(RunSpec(**chosen, quantizer="full", seed=seed))
        train.recall(RunSpec(**chosen, quantizer="ternaryconnect", quantized="biases", seed=seed))
    train.recall(RunSpec(**chosen | {"norm": "batch"}, quantizer="full"))
    found = diagnose.records(SPEC)
    ax = drawn(diagnostics.parts(found)).axes[0]
    labels = [line.get_label() for line in ax.lines]
    assert labels == ["full precision, 2 seeds", "biases, 2 seeds"]
    finals = [record.curve[-1]["valid"] for record in found if record.spec["quantizer"] == "ternaryconnect"]
    mean = sum(finals) / 2
    std = (sum((final - mean) ** 2 for final in finals)) ** 0.5
    assert ax.lines[1].get_ydata()[-1] == pytest.approx(mean)
    corners = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert corners.min() <= mean - std + 1e-9
    assert any(abs(corners - (mean + std)) < 1e-6)


def test_every_figure_of_the_notebook_has_a_name_and_a_caption():
    notebook = nbformat.read(paths.notebooks() / "diagnose.ipynb", as_version=4)
    drawing = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.endswith(";")]
    figures = [cell.metadata["mystnb"]["figure"] for cell in drawing]
    assert len({figure["name"] for figure in figures}) == len(figures) >= len(DRAWN)
    assert all(figure["caption"].endswith(".") for figure in figures)


def test_a_network_is_found_for_every_part_of_the_study_of_parts():
    runs = study.build("parts")
    told = {(run.quantizer, run.quantized) for run in runs}
    assert {part for quantizer, part in told if quantizer == "ternaryconnect"} == set(diagnostics.PARTS)
    assert ("full", "input+recurrent+biases") in told
    assert {run.cell for run in runs} == {"gru"}
    for each in told:
        assert len({run.seed for run in runs if (run.quantizer, run.quantized) == each}) == 10
    assert trained.at_hand(runs[0]) is None
