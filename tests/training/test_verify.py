import dataclasses
import json
import math
import shutil

import pytest

from lowbit import datasets, paths
from lowbit.__main__ import main
from lowbit.batch.run import clean
from lowbit.datasets import metrics
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import train, verify

TINY = "smoke(updates=2, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


@pytest.fixture
def elsewhere(home, monkeypatch):
    """Two records from another machine."""
    other = home / "colleague"
    monkeypatch.setenv("LOWBIT_HOME", str(other))
    made = [train.recall(RunSpec(budget=TINY, seed=seed)) for seed in (0, 1)]
    monkeypatch.setenv("LOWBIT_HOME", str(home))
    return other / "results", made


def verdicts(folder):
    return [each.verdict for each in verify.take(folder)]


def test_records_are_imported_once(elsewhere):
    folder, made = elsewhere
    assert verdicts(folder) == ["taken", "taken"]
    assert [store.load(record.run) for record in made] == made
    assert verdicts(folder) == ["known", "known"]


def edited(file, **changes):
    record = store.Record(**{**json.loads(file.read_text()), **changes})
    file.write_text(json.dumps(dataclasses.asdict(record.sealed())))


def test_files_that_are_no_records_of_this_study_are_refused(elsewhere):
    folder, made = elsewhere
    first, second = sorted(folder.rglob("*.json"))
    store.save(made[0])
    edited(first, curve=[made[0].curve[0] | {"valid": 9.0}])
    second.write_text(second.read_text().replace('"deployed"', '"displayed"', 1))
    reasons = [each.reason for each in verify.take(folder)]
    assert "differs" in reasons[0]
    assert "digest does not match" in reasons[1]
    assert store.load(made[0].run) == made[0]

    edited(second, data={"sha256": "0" * 64})
    assert "no record" in verify.take(folder)[1].reason or "data differ" in verify.take(folder)[1].reason
    shutil.copy(first, first.with_name("other.json"))
    assert any("holds the record of" in each.reason for each in verify.take(folder))
    first.write_text("{")
    assert any("no record" in each.reason for each in verify.take(folder))


def test_a_folder_without_records_is_reported(home):
    with pytest.raises(InputError, match="no records in"):
        verify.take(home)


def test_the_same_machine_makes_the_same_record_again(elsewhere):
    _, made = elsewhere
    verdict = verify.verify(made[0])
    assert verdict.verdict == "same", verdict.reason
    assert not (paths.runs() / "verify").exists()


def test_the_start_of_a_run_is_made_again_and_compared_point_by_point(home):
    budget = TINY.replace("evaluate_every=2", "evaluate_every=1").replace("updates=2", "updates=6")
    record = train.recall(RunSpec(budget=budget))
    verdict = verify.verify_start(record, share=0.3)
    assert verdict == (record.run.key, "same", "to update 2, 2 points of the curve agree")

    def changed(valid, **machine):
        curve = [record.curve[0], record.curve[1] | {"valid": valid}]
        return dataclasses.replace(record, curve=curve, machine=record.machine | machine)

    near = record.curve[1]["valid"] + 1e-6
    assert verify.compare_start(record, changed(near)).verdict == "different"
    verdict = verify.compare_start(record, changed(near, processor="an abacus"))
    assert verdict.verdict == "near"
    assert "valid points" in verdict.reason
    assert "an abacus" in verdict.reason
    assert verify.compare_start(record, changed(99.0, processor="an abacus")).verdict == "different"
    other = dataclasses.replace(record, curve=record.curve[:1], data=record.data | {"sha256": "0" * 64})
    assert verify.compare_start(record, other).reason == "the data differ"


def test_a_run_that_cannot_be_made_again_has_failed(elsewhere, monkeypatch):
    _, (record, _) = elsewhere
    monkeypatch.setattr(verify.sys, "executable", "/bin/false")
    assert verify.verify(record).verdict == "failed"
    assert verify.verify_start(record, share=0.1).verdict == "failed"


def test_a_run_that_stops_on_the_way_ends_as_the_same_record(elsewhere):
    _, (record, _) = elsewhere
    curve = train.advance(record.run, 1)
    assert curve == record.curve[: len(curve)]
    assert train.checkpoint_path(record.run).exists()
    assert store.load(record.run) is None
    assert train.recall(record.run).digest == record.digest


def test_a_score_on_another_machine_is_judged_by_the_seeds(elsewhere):
    _, (record, other) = elsewhere
    moved = {**record.metrics, "deployed": record.metrics["deployed"] + 1e-9}
    again = dataclasses.replace(record, metrics=moved, machine={**record.machine, "processor": "another"}).sealed()
    alone = verify.compare(record, again)
    assert alone.verdict == "near"
    assert "no seeds on file" in alone.reason
    for each in (record, other):
        store.save(each)
    assert record.metrics["deployed"] != other.metrics["deployed"]
    assert verify.compare(record, again).verdict == "near"
    far = dataclasses.replace(again, metrics={**record.metrics, "deployed": record.metrics["deployed"] + 99}).sealed()
    assert verify.compare(record, far).verdict == "different"
    assert verify.compare(record, dataclasses.replace(again, machine=record.machine)).verdict == "different"


def elsewhere_made(record, deployed, **machine):
    """Returns the same run as another machine would record it."""
    moved = {**record.metrics, "deployed": deployed}
    return dataclasses.replace(record, metrics=moved, machine=record.machine | machine).sealed()


def test_without_other_seeds_the_test_set_gives_the_tolerance():
    record = train.recall(
        RunSpec(dataset="digits", budget="smoke(updates=2, evaluate_every=2, hidden=8, test_limit=100)")
    )
    record = elsewhere_made(record, 20.0)
    width = 3 * 100 * math.sqrt(2 * 0.25 * 0.75 / 100)
    verdicts = {}
    for apart in (10.0, 0.0):
        again = elsewhere_made(record, 20.0 + apart, processor="another")
        verdicts[apart] = verify.compare(record, again)
    assert verdicts[0.0].verdict == "same"
    assert verdicts[10.0].verdict == "near"
    assert f"tolerance {width:.4f} ({width / 3 / math.sqrt(2):.4f} by 100 test points" in verdicts[10.0].reason
    assert verify.compare(record, elsewhere_made(record, 50.0, processor="another")).verdict == "different"


def test_seeds_of_otherwise_equal_runs_widen_the_tolerance(elsewhere):
    _, (record, other) = elsewhere
    for each in (record, elsewhere_made(other, 2 * record.metrics["deployed"])):
        store.save(each)
    far = elsewhere_made(record, 2.5 * record.metrics["deployed"], processor="another")
    verdict = verify.compare(record, far)
    assert "by 2 runs of other seeds" in verdict.reason
    assert verdict.verdict == "near"


def test_all_differences_are_named_with_both_values(elsewhere):
    _, (record, _) = elsewhere
    other = {"processor": "an abacus", "threads": 7, "torch": "9.9", "python": "4.0", "lock": "1", "revision": "2"}
    again = elsewhere_made(record, record.metrics["deployed"] + 1e-9, **other)
    again = dataclasses.replace(again, canary={**record.canary, "sha256": "3" * 16})
    reason = verify.compare(record, again).reason
    for name, value in other.items():
        assert f"{name} ({record.machine[name]}, here {value})" in reason
    assert f"canary ({record.canary['sha256']}, here {'3' * 16})" in reason


def test_an_import_reports_whether_todays_code_computes_the_records(elsewhere):
    folder, made = elsewhere
    first, second = sorted(folder.rglob("*.json"))
    content = json.loads(first.read_text())
    content["machine"]["dirty"] = False
    content["canary"] = {**content["canary"], "sha256": "0" * 16}
    content["canary"]["scores"]["valid 2"] = 9.0
    first.write_text(json.dumps(content))
    content = json.loads(second.read_text())
    content["machine"]["dirty"], content["canary"] = False, None
    second.write_text(json.dumps(content))
    reasons = [each.reason for each in verify.take(folder)]
    assert reasons[0] == f"made by other code: valid 2 9, here {made[0].canary['scores']['valid 2']:.7g}"
    assert reasons[1] == "made by unknown code: it has no canary"
    assert verify.compare(made[0], dataclasses.replace(made[0], canary=None)).verdict == "same"


@pytest.mark.parametrize("change", [{"revision": "another"}, {}])
def test_another_revision_alone_excuses_no_other_digest(change, elsewhere):
    _, (record, _) = elsewhere
    assert verify.compare(record, elsewhere_made(record, 0.0, **change)).verdict == "different"


def test_a_diverged_run_is_near_only_a_diverged_one(elsewhere):
    _, (record, _) = elsewhere
    lost = elsewhere_made(record, math.nan, processor="another")
    assert verify.compare(record, lost).verdict == "different"
    assert verify.compare(elsewhere_made(record, math.inf), elsewhere_made(lost, math.nan)).verdict == "same"
    moved = dataclasses.replace(lost, sizes={**lost.sizes, "parameters": 0}).sealed()
    assert verify.compare(elsewhere_made(record, math.inf), moved).verdict == "near"


def test_without_the_test_set_the_reason_is_reported(elsewhere, monkeypatch):
    _, (record, _) = elsewhere

    def absent(*_):
        raise InputError("the corpus is not here")

    monkeypatch.setattr(datasets.Text, "alone", absent)
    verdict = verify.compare(record, elsewhere_made(record, 0.0, processor="another"))
    assert verdict.verdict == "undecided"
    assert "the corpus is not here" in verdict.reason


@pytest.mark.parametrize("name", ["markov", "digits", "adding", "copy_memory"])
def test_the_points_of_a_test_set_are_counted_without_a_network(name):
    data = datasets.build(name)
    assert sum(data.metric.points(batch) for batch in data.alone("test", 500)) > 100


@pytest.mark.parametrize(
    "metric", [m for m in vars(metrics).values() if isinstance(m, metrics.Metric)], ids=lambda m: m.name
)
def test_a_point_has_a_deviation_at_every_score(metric):
    for score in (0.0, 0.5, 1.0, 20.0, 99.0, 150.0):
        assert 0 <= metric.deviation(score) < math.inf


def test_an_import_of_a_checkout_ignores_files_that_are_no_run_records(capsys):
    assert main(["import", str(paths.SOURCE / "results")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"taken", "left out"}
    assert {line.split()[2] for line in lines if line.startswith("left out")} == {"benchmarks", "hardware", "diagnosis"}
    assert store.scan().problems == []


def test_an_interrupted_verification_starts_anew(elsewhere):
    _, (record, _) = elsewhere
    file = paths.runs() / "verify" / store.path(record.run).relative_to(paths.root())
    store.write(file, json.dumps(dataclasses.asdict(elsewhere_made(record, 0.0))))
    assert verify.verify(record).verdict == "same"


def test_cleaning_keeps_checkpoints_and_failed_notebooks(elsewhere):
    _, made = elsewhere
    store.save(made[0])
    done, unfinished = (train.checkpoint_path(record.run) for record in made)
    notebook = paths.runs() / "notebooks" / "runs" / "failed.ipynb"
    rest = paths.results() / "smoke" / ".half.json.1.part"
    damaged = [file.with_name(f"{file.name}.damaged") for file in (done, unfinished)]
    for file in (done, unfinished, notebook, rest, *damaged):
        store.write(file, "")
    assert set(clean()) == {done, rest, damaged[0]}
    assert unfinished.exists()
    assert notebook.exists()
    assert clean() == []


def test_the_later_of_two_checkpoints_is_imported_and_a_damaged_one_refused(home, monkeypatch):
    spec = RunSpec(budget=TINY.replace("evaluate_every=2", "evaluate_every=1"))
    monkeypatch.setenv("LOWBIT_HOME", str(home / "colleague"))
    train.advance(spec, 1)
    monkeypatch.setenv("LOWBIT_HOME", str(home))
    folder = home / "colleague" / "runs"
    assert [(row.verdict, row.reason) for row in verify.take(folder)] == [("taken", "a checkpoint at update 1")]
    assert train.checkpoint_path(spec).exists()
    assert verdicts(folder) == ["known"]
    (folder / "checkpoints" / train.checkpoint_path(spec).name).write_bytes(b"damaged" * 9)
    assert verdicts(folder) == ["refused"]
    assert train.advance(spec, 2)[-1]["update"] == 2
