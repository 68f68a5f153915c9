"""A canary depends on what code computes, not on how it is written: it survives renamings and detects changes."""

import ast
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch

from lowbit import datasets, paths, quantizers
from lowbit.batch import plan
from lowbit.datasets import base
from lowbit.layers import cells, kernels, norm
from lowbit.quantizers.ternary import Ternary
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import canary, evaluate, freshness, train, updates

TINY = "smoke(updates=2, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"
KINDS = {
    "ternary": RunSpec(),
    "stochastic": RunSpec(quantizer="ternary(stochastic=True)", norm="none", cell="gru"),
    "binary": RunSpec(quantizer="binary", norm="layer", cell="gru"),
    "weight": RunSpec(dataset="digits", quantizer="full", norm="weight"),
    "sgd": RunSpec(dataset="adding", quantizer="binary", norm="none", cell="rnn", budget="smoke(optimizer='sgd')"),
}


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Clears caches, as code changes while these tests run."""
    monkeypatch.setattr(canary, "_computed", {})


def kinds():
    """Returns everything registered, each in a possible run."""
    for name in datasets.names():
        yield RunSpec(dataset=name)
    for name in quantizers.variants():
        fits = "+".join(part for part in quantizers.build(name).fits if part in ("input", "recurrent"))
        yield RunSpec(quantizer=name, quantized=fits)
    for name in (name for name in quantizers.names() if not quantizers.build(name).stochastic):
        yield RunSpec(activations=name)
    for name in cells.names():
        yield RunSpec(cell=name, quantized="input" if not cells.build(name).recurrent else "input+recurrent")
    for name in norm.names():
        yield RunSpec(norm=name)
    for change in (
        *("layers=2", "embedding=16", "dropout=0.5", "carry=True", "optimizer='sgd'", "divide=2.0, patience=1"),
        *("clip_norm=0.1", "clip_masters=True", "clip_steps=True", "restart=True", "init='levels'"),
        *("init='orthogonal'", "start='learned'", "start='noisy'"),
    ):
        yield RunSpec(budget=f"smoke({change})")
    yield RunSpec(dataset="digits", budget="smoke(bidirectional=True)")


@pytest.mark.parametrize("spec", list(dict.fromkeys(kinds())), ids=lambda spec: spec.key)
def test_everything_registered_has_a_canary_without_any_file(spec, home):
    made = canary.canary(spec)
    assert all(math.isfinite(score) for score in made["scores"].values())
    assert set(made["scores"]) > {"train 2", "train 4", "valid 2", "valid 4", "as published", "deployed", "sampled"}
    assert set(spec.data.baselines.__func__(canary.stand_in(spec.dataset))) < set(made["scores"])
    assert list(home.rglob("*")) == []


def test_every_choice_of_a_recipe_makes_another_canary():
    changes = ("layers=2", "embedding=16", "dropout=0.5", "carry=True", "optimizer='sgd'", "clip_norm=0.01")
    changes += ("restart=True", "init='levels'", "init='orthogonal'", "start='learned'", "start='noisy'", "rate=0.01")
    changes += ("clip_masters=True, rate=0.5", "rate=0.5")
    made = [canary.canary(RunSpec(budget=f"smoke({change})"))["sha256"] for change in changes]
    made.append(canary.canary(RunSpec())["sha256"])
    assert len(set(made)) == len(made)


def test_seeds_and_sizes_share_a_canary():
    first = canary.canary(RunSpec())
    assert canary.canary(RunSpec(seed=7)) is first
    assert canary.canary(RunSpec(budget="smoke(hidden=300, updates=1000, batch=32)")) is first


def test_a_canary_does_not_change_the_state_of_torch():
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with torch.no_grad(), kernels.flush_denormals():
        canary.canary(RunSpec(quantizer="ternary(stochastic=True)"))
        assert not torch.is_grad_enabled()
        assert torch.full((), 1e-40) * 1 == 0
    assert torch.full((), 1e-40) * 1 > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def computed(folder, names=tuple(KINDS)):
    """Returns the canary of the library in a folder, computed in a subprocess."""
    script = (
        "import json, sys\n"
        "from lowbit.training import canary\n"
        "from lowbit.studies.spec import RunSpec\n"
        "print(json.dumps([canary.canary(RunSpec(**fields))['sha256'] for fields in json.loads(sys.argv[1])]))\n"
    )
    runs = json.dumps([dataclasses.asdict(KINDS[name]) for name in names])
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", script, runs]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(names, json.loads(done.stdout), strict=True))


def here():
    return {name: canary.canary(spec)["sha256"] for name, spec in KINDS.items()}


def test_another_process_and_other_threads_compute_the_same_canary():
    assert computed(paths.SOURCE) == here()


@pytest.fixture
def copy(tmp_path):
    """A copy of the library; it keeps its compiled loops, as a change compiles them anew."""
    shutil.copytree(paths.SOURCE / "lowbit", tmp_path / "copy" / "lowbit")
    shutil.copytree(paths.SOURCE / "data", tmp_path / "copy" / "data")
    return tmp_path / "copy"


def test_moved_and_renamed_code_computes_the_same_canary(copy):
    compiled = [copy / "lowbit" / name for name in ("layers/loops", "compiled", "hardware", "inference")]
    for file in (copy / "lowbit").rglob("*.py"):
        if not any(file.is_relative_to(folder) for folder in compiled):
            file.write_text(rewritten(file.read_text()))
    quantizer = copy / "lowbit" / "quantizers" / "ternary.py"
    quantizer.rename(quantizer.with_name("three_levels.py"))
    assert "recurrent_matrix" in (copy / "lowbit" / "layers" / "recurrent.py").read_text()
    assert computed(copy) == here()


def rewritten(text):
    """Returns a source without comments, with other docstrings, line breaks and names of variables and parameters."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body[0].value.value = "Other words."
    source = ast.unparse(tree)
    for old, new in (("weight_h", "recurrent_matrix"), ("norm_x", "norm_of_inputs"), ("_feed", "_given")):
        source = source.replace(old, new)
    return source


def test_a_line_that_changes_a_number_changes_the_canary(copy):
    file = copy / "lowbit" / "quantizers" / "ternary.py"
    text = file.read_text()
    assert text.count("threshold: float = 1 / 3") == 1
    file.write_text(text.replace("threshold: float = 1 / 3", "threshold: float = 0.4"))
    before, after = here(), computed(copy, ("ternary", "binary"))
    assert after["ternary"] != before["ternary"]
    assert after["binary"] == before["binary"]


def threshold(patch):
    patch.setattr(Ternary, "thresholds", (-0.4, 0.4))


def forget_bias(patch):
    patch.setattr(cells.LSTM, "forget_gate", "")


def epsilon(patch):
    patch.setattr(norm, "EPS", 1e-3)


def adam(patch):
    real = torch.optim.Adam
    patch.setattr(torch.optim, "Adam", lambda *args, **options: real(*args, betas=(0.9, 0.99), **options))


def batches_of_text(patch):
    real = base.portions
    patch.setattr(base, "portions", lambda order, batch, split: real(order.flip(0), batch, split))


def samples(patch):
    patch.setattr(evaluate, "SAMPLES", 3)


def rate(patch):
    real = updates.Updates._rate
    patch.setattr(updates.Updates, "_rate", lambda self: 1.001 * real(self))


def drawing(patch):
    real = datasets.registry["adding"].draw
    patch.setattr(
        datasets.registry["adding"], "draw", lambda self, *args: (real(self, *args)[0] * 0.99, real(self, *args)[1])
    )


ADAM = {"ternary", "stochastic", "binary", "weight"}
TEXT = {"ternary", "stochastic", "binary"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (threshold, {"ternary", "stochastic"}),
        (forget_bias, {"ternary", "weight"}),
        (epsilon, {"ternary", "binary"}),
        (adam, ADAM),
        (batches_of_text, TEXT),
        (samples, {"stochastic"}),
        (rate, set(KINDS)),
        (drawing, {"sgd"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_changed_formula_makes_the_kinds_stale_that_use_it_and_no_others(change, stale, monkeypatch):
    before = {name: canary.canary(spec) for name, spec in KINDS.items()}
    with monkeypatch.context() as patch:
        patch.setattr(canary, "_computed", {})
        change(patch)
        after = {name: canary.canary(spec) for name, spec in KINDS.items()}
    assert {name for name in KINDS if freshness.difference(before[name], after[name])} == stale


@pytest.mark.parametrize("name", KINDS)
def test_another_kernel_is_near_and_a_shift_of_a_score_is_not(name, monkeypatch):
    made = canary.canary(KINDS[name])
    monkeypatch.setenv("LOWBIT_KERNEL", "reference")
    monkeypatch.setattr(canary, "_computed", {})
    other = canary.canary(KINDS[name])
    if "fused" not in kernels.unavailable():
        assert other["platform"] != made["platform"]
    assert freshness.difference(made, other) == ""
    moved = {**other, "sha256": "0" * 16, "scores": {**other["scores"], "deployed": 1.01 * other["scores"]["deployed"]}}
    assert freshness.difference(made, moved).startswith(f"deployed {made['scores']['deployed']:.7g}, here ")


def test_on_one_platform_scores_and_weights_are_compared_exactly():
    made = canary.canary(RunSpec())
    moved = {**made, "sha256": "0" * 16}
    assert freshness.difference(made, moved) == f"canary {made['sha256']}, here {'0' * 16}"
    moved["scores"] = {**made["scores"], "valid 2": math.nextafter(made["scores"]["valid 2"], math.inf)}
    assert freshness.difference(made, moved).startswith("valid 2 ")
    elsewhere = {**moved, "platform": {**made["platform"], "processor": "an abacus"}}
    assert freshness.difference(made, elsewhere) == ""


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_score_that_is_no_number_agrees_only_with_another_such_score(lost):
    made = canary.canary(RunSpec())
    elsewhere = {**made["platform"], "processor": "an abacus"}
    one = {**made, "sha256": "0" * 16, "scores": {**made["scores"], "valid 4": lost}}
    other = {**one, "sha256": "1" * 16, "scores": {**made["scores"], "valid 4": math.nan}, "platform": elsewhere}
    assert freshness.difference(one, other) == ""
    assert freshness.difference(one, {**made, "platform": elsewhere}).startswith("valid 4 ")


def test_the_canary_of_a_record_is_outside_of_its_digest():
    record = train.recall(RunSpec(budget=TINY))
    assert record.canary == canary.canary(record.run)
    assert store.load(record.run) == record
    bare = dataclasses.replace(record, canary=None)
    assert bare.sealed().digest == record.digest
    store.save(bare)
    assert store.load(record.run) == bare
    assert freshness.judge(bare) == ("unknown", "it has no canary")


@pytest.mark.parametrize("name", ["markov", "adding"])
def test_other_data_of_this_machine_make_a_record_stale(name, monkeypatch):
    monkeypatch.setattr(train.provenance, "_revision", lambda: ("0", False))
    budget = TINY if name == "markov" else "smoke(updates=2, evaluate_every=2, hidden=8, batch=8)"
    record = train.recall(RunSpec(dataset=name, budget=budget))
    assert freshness.judge(record) == ("fresh", "")
    moved = dataclasses.replace(record, data={**record.data, "sha256": "0" * 64})
    assert freshness.judge(moved) == ("stale", f"data {'0' * 12}, here {record.data['sha256'][:12]}")


def test_a_run_with_a_checkpoint_of_other_code_starts_anew(monkeypatch):
    spec = RunSpec(budget=TINY.replace("updates=2", "updates=4"))
    session = train.Session(spec)
    session.run()
    assert train.Session(spec).update == 4
    other = {**session.canary, "sha256": "0" * 16}
    monkeypatch.setattr(train.canary, "canary", lambda spec: other)
    assert train.Session(spec).update == 0


def test_a_status_names_differences_with_both_values(monkeypatch):
    run = RunSpec(budget=TINY)
    monkeypatch.setattr(train.provenance, "_revision", lambda: ("0", False))
    record = train.recall(run)
    scores = {**record.canary["scores"], "valid 2": 9.0}
    store.save(dataclasses.replace(record, canary={**record.canary, "sha256": "0" * 16, "scores": scores}))
    assert plan.freshness(run) == "stale"
    _, reason = freshness.judge(store.load(run))
    assert reason == f"valid 2 9, here {record.canary['scores']['valid 2']:.7g}"
