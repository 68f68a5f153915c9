import pytest

from lowbit import datasets, quantizers
from lowbit.layers import cells, norm
from lowbit.plots import templates
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import study
from lowbit.studies.spec import RunSpec


def test_an_unknown_study_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no study 'tours'; known: .*ptb_char, recorded, .*smoke, .*tour"):
        study.build("tours")


def test_smoke_has_every_choice_once_and_needs_no_download():
    runs = [run for run in study.build("smoke") if run.folder == "smoke"]
    assert {run.dataset for run in runs} == set(datasets.local())
    assert {run.cell.partition("(")[0] for run in runs} == set(cells.names())
    assert {run.quantizer for run in runs} >= set(quantizers.variants())
    assert {run.norm for run in runs} == set(norm.names())
    assert {part for run in runs for part in run.quantized.split("+")} == set(cells.PARTS)


def test_tour_has_every_quantizer_and_every_cell_on_real_text():
    runs = [run for run in study.build("tour") if run.dataset == "stdlib"]
    assert {run.quantizer for run in runs} >= set(quantizers.names())
    for cell in cells.names():
        assert {run.quantizer for run in runs if run.cell == cell} >= {"full", "ternary"}


@pytest.mark.parametrize("name", sorted(study.STUDIES))
def test_a_study_has_each_run_and_each_page_once(name):
    runs = study.build(name)
    pages = [page for stage in templates.pages(runs) for page in stage]
    assert len(runs) == len(set(runs))
    assert len({page.name for page in pages}) == len(pages)


def test_pages_are_named_after_their_spec():
    run = RunSpec(dataset="stdlib", budget="tour", quantizer="uniform(bits=2)")
    assert Page("train", run).name == f"runs/{run.key}"
    assert Page("quantizer", run).name == "quantizers/uniform_bits2"
    assert Page("compare", run).name == "compare/stdlib-tour"


def test_a_quantizer_gets_the_parts_and_the_units_that_it_can_have():
    run = study.fitting("hadamard", dataset="stdlib", budget="tour")
    assert run.quantized == "recurrent"
    assert run.recipe.hidden == 128
    with pytest.raises(InputError, match="no layers of 96 units; near: 128"):
        RunSpec(dataset="stdlib", budget="tour", quantizer="hadamard", quantized="recurrent")
