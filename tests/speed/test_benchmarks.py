"""Benchmark records hold all measurements unchanged, and the pages show them."""

import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lowbit import paths
from lowbit.batch import pages
from lowbit.plots import templates
from lowbit.plots.speed import benchmark, inference, training
from lowbit.registry import InputError
from lowbit.speed import benchmarks, roofline
from lowbit.speed.benchmarks import Benchmark, Case
from lowbit.studies import store
from lowbit.training import verify

MACHINE = {"processor": "Example(R) One", "cores": 2, "system": "none", "dirty": False, "lock": None, "time": "now"}
MACHINE |= {"caches": {"L1": 2**15, "L2": 2**20}, "instructions": [], "lowbit": "0", "revision": "0"}
MACHINE |= {"torch": "0", "python": "0"}
LIMITS = {
    "products": [{"numbers": name, "giga_operations": 10.0} for name in ("float32", "bfloat16", "int8")],
    "reads": [{"bytes": 2**power, "gigabytes": 100.0 - power} for power in (12, 15, 20, 25)],
}
unhurried = settings(deadline=None)  # the machine may be shared
SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=3)
ABOUT = {"cell": "lstm", "units": 8, "instructions": "all"}


def script(name):
    """Imports a file of `benchmarks` as a module."""
    source = importlib.util.spec_from_file_location(f"benchmarks_{name}", paths.SOURCE / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(source)
    sys.modules[source.name] = module
    source.loader.exec_module(module)
    return module


def record(kind, cases=(), tables=None, **changes):
    options = {"rounds": 1, "memory_bar": 1.3, "unit": "bits", "dataset": "markov", "cell": "lstm"}
    options |= {"quantizer": "binary", "budget": "smoke"}
    benchmark = Benchmark(kind, MACHINE, options, LIMITS, [], list(cases), tables or {}, False)
    return dataclasses.replace(benchmark, **changes)


def case(bars=None, **seconds):
    notes = {name: {"group": name, "bits": 8, "quantizer": "binary", "weight_bytes": 9} for name in seconds}
    return Case(ABOUT, 1, seconds, notes, bars or {})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def trained():
    """A tiny measurement of training, by the benchmark itself."""
    contest = script("training")
    work = contest.Case(contest.LSTM, "batch_step", 8, (("fused", 1e-9), (contest.HALF, 1e9)), 4, 8, memory=True)
    possible, lacking = contest.here(work)
    measured, absent = contest.measure(possible, 1, 2, 0.0)
    assert not absent
    for name in measured.seconds:
        measured.notes[name]["peak_mib"] = 2.0
    return measured, lacking


@pytest.fixture(scope="module")
def inferred(tmp_path_factory):
    """A tiny measurement of inference and its files, by the benchmark itself."""
    contest, folder = script("inference"), tmp_path_factory.mktemp("packed")
    return contest.contest(32, ["binary"], 2, 1, folder), contest.files(32, ["binary"], folder)


@unhurried
@given(ours=SECONDS, theirs=SECONDS, slow=SECONDS)
def test_a_slow_round_does_not_change_a_ratio(ours, theirs, slow):
    quiet = case(ours=ours, theirs=theirs).ratio("ours", "theirs")
    noisy = case(ours=np.multiply(ours, slow).tolist(), theirs=np.multiply(theirs, slow).tolist())
    assert noisy.ratio("ours", "theirs") == pytest.approx(quiet, rel=1e-6)


@unhurried
@given(peers=st.lists(SECONDS, min_size=1, max_size=4))
def test_a_ratio_is_against_the_fastest_of_a_group(peers):
    seconds = {f"peer {number}": times for number, times in enumerate(peers)} | {"ours": [1.0, 1.0, 1.0]}
    notes = {name: {"group": "peer" if name != "ours" else "ours"} for name in seconds}
    contest = Case(ABOUT, 1, seconds, notes, {})
    assert contest.ratio("ours", "peer").median == min(map(np.median, peers))
    assert contest.ratio("ours", "nobody") is None


@pytest.mark.parametrize(
    "seconds", [{"a": [1.0], "b": [1.0, 2.0]}, {"a": []}, {"a": [0.0]}, {"a": [float("nan")]}, {"a": [float("inf")]}]
)
def test_an_impossible_time_is_refused(seconds):
    with pytest.raises(ValueError, match="time|rounds"):
        case(**seconds)


def test_a_record_reads_back_as_it_was_saved():
    filed = record("inference", [case(ours=[1.0, 2.0], int8=[2.0, 3.0])])
    benchmarks.save(filed)
    assert benchmarks.read("inference", "example-one-2-cores") == filed.sealed()
    assert benchmarks.scan().records == [filed.sealed()]
    assert benchmarks.near("inference", "another") == filed.sealed()
    assert benchmarks.near("training", "another") is None
    assert store.scan().problems == []
    with pytest.raises(InputError, match="no records"):
        verify.take(paths.results())


def test_an_unknown_machine_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="known: none yet"):
        benchmarks.read("training", "example")
    benchmarks.save(record("training"))
    with pytest.raises(InputError, match="known: example-one-2-cores"):
        benchmarks.read("training", "example")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content["cases"][0]["seconds"].update(ours=[0.5]), "digest"),
        (lambda content: content["cases"][0]["seconds"].update(ours=[1.0, 1.0]), "rounds"),
        (lambda content: content.pop("cases"), "cases"),
        (lambda content: content.update(kind="wishes"), "no benchmark 'wishes'"),
        (lambda content: content.update(cases=[{"about": {}}]), "missing"),
        (lambda content: content["tables"].update(first_use=[{"cache": "empty"}]), "import_seconds"),
        (lambda content: content["tables"].update(wishes=[{}]), "no table .wishes."),
        (lambda content: content.update(complete=True), "first_use"),
    ],
)
def test_a_damaged_record_is_refused_with_the_reason(damage, message):
    file = benchmarks.save(record("training", [case(ours=[1.0], torch=[2.0])]))
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        benchmarks.read("training", "example-one-2-cores")
    assert len(benchmarks.scan().problems) == 1


def test_a_record_under_the_name_of_another_machine_is_refused():
    file = benchmarks.save(record("training"))
    file.rename(benchmarks.path("training", "another"))
    with pytest.raises(InputError, match="holds benchmark 'training' of machine 'example-one-2-cores'"):
        benchmarks.read("training", "another")


def test_a_benchmark_has_a_page_that_is_outdated_when_the_record_changes():
    assert not [page for stage in templates.pages([]) for page in stage if "speed" in page.template]
    benchmarks.save(record("training"))
    (page,) = (page for page in templates.pages([])[0] if "speed" in page.template)
    before = pages.fingerprint(page)
    assert pages.fingerprint(page) == before
    benchmarks.save(record("training", [case(ours=[1.0])]))
    assert pages.fingerprint(page) != before


def test_the_reader_reads_every_word_each_time():
    words = np.arange(16)
    assert roofline._reader()(words, 3) == sum(word ^ turn for word in range(16) for turn in range(3))


def test_the_loop_of_byte_products_makes_as_many_as_it_counts():
    from lowbit.inference import loader

    if "avx512vnni" not in loader.features():
        pytest.skip("this processor has no products of bytes in AVX-512")
    count, run = roofline._bytes()
    buffer = np.zeros(1024, np.uint8)
    buffer[256:320] = 1
    run(buffer.ctypes.data, 5)
    assert buffer[512:768].view(np.int32).sum() == 5 * count


def test_an_update_has_three_products_per_weight_and_step():
    about = {"cell": "gru", "hidden": 10, "steps": 7, "batch": 3, "symbols": 0}
    operations, moved = roofline.update(about, half=False)
    assert operations == 3 * 2 * (3 * 10 * 10) * 7 * 3
    twice, more = roofline.update(about | {"batch": 6}, half=False)
    assert twice == 2 * operations
    assert moved - roofline.update(about, half=True)[1] == 2 * 7 * (3 * 10 * 10) * 2
    assert moved < more < 2 * moved


def test_the_benchmark_of_training_makes_a_record_that_pages_show(trained):
    measured, lacking = trained
    starts = {"first_use": [{"cache": "empty", "import_seconds": 1.0, "seconds": 9.0, "bar": 20}]}
    whole = record(
        "training", [measured, dataclasses.replace(measured, threads=2)], starts, complete=True, absent=lacking
    )
    benchmarks.save(whole)
    assert benchmarks.scan().problems == []
    assert {measured.notes[name]["group"] for name in measured.seconds} == {"torch", "eager", "ours"}
    for draw in (lambda it: training.ratios(it, "torch"), lambda it: training.ratios(it, "eager")):
        assert [ax.get_title() for ax in draw(whole).axes] != []
    assert isinstance(training.under_roof(whole), Figure)
    assert "1.00" in training.memory(whole).data
    assert training.times(whole).data.count(benchmark.label(measured)) == 2
    assert benchmark.digits(measured.ratio("fused", "torch")) in training.times(whole).data
    met = benchmark.bars(whole).set_index(["target", "against"])["met"]
    assert (met.loc["1e-09"] == "yes").all()
    if not lacking:
        assert (met.loc["1e+09"] == "no").all()
        assert "Missed" in benchmark.verdict(whole).data


def test_the_benchmark_of_inference_makes_a_record_that_pages_show(inferred):
    measured, files = inferred
    whole = record("inference", [measured], {"files": files})
    benchmarks.save(whole)
    assert benchmarks.scan().problems == []
    assert len(measured.names("ours")) == 2
    assert measured.fastest("float32").startswith(("torch", "onnxruntime"))
    for draw in (inference.steps, inference.under_roof, lambda it: inference.steps(it, "AVX2")):
        assert isinstance(draw(whole), Figure)
    assert all(name in inference.times(whole).data for name in measured.seconds)
    assert f"{files[0]['float32_bytes'] / files[0]['bytes']:.1f}" in inference.files(whole).data
    assert "did not come to its end" in benchmark.machine(whole).data


def test_the_effect_of_bfloat16_is_drawn_by_seed():
    rows = [{"products": name, "seed": seed} for seed in range(2) for name in ("float32", "bfloat16")]
    curves = [row | {"update": at, "train_nats": 1.0, "valid": 3.0 - at} for row in rows for at in (1, 2)]
    scores = [
        row | {"deployed": 2.0 + row["seed"] + 0.25 * (row["products"] == "bfloat16"), "seconds": 1} for row in rows
    ]
    measured = record("bfloat16", tables={"curves": curves, "scores": scores}, complete=True)
    _, right = training.learning(measured).axes
    validation, test = right.lines[:2]
    assert list(validation.get_xdata()) == [0.0, 0.0]
    assert list(test.get_xdata()) == [0.25, 0.25]
    assert "2.500" in training.products(measured).data


def test_the_cost_of_sharing_is_drawn_from_zero():
    kept = [
        {
            "quantizer": "binary",
            "kept": at,
            "act_bits": 32,
            "bytes": 1000 + at,
            "stream": 2.0 - at,
            "segments": 3.0 - at,
        }
        for at in (0, 1)
    ]
    measured = record("statistics", tables={"kept": kept}, complete=True)
    segments, stream = inference.shared(measured).axes[0].lines[:2]
    assert list(segments.get_ydata()) == list(stream.get_ydata()) == [1.0, 0.0]
    assert "float32" in inference.activations(measured).data


def test_missing_measurements_are_reported():
    for draw in (training.learning, inference.shared):
        assert isinstance(draw(None), Figure)
    for table in (training.products, inference.activations):
        assert "No record yet" in table(None).data
    empty = record("training")
    assert isinstance(training.ratios(empty, "torch"), Figure)
    assert "no record yet" in benchmark.judged(empty).data
    assert "No target" in benchmark.verdict(empty).data
