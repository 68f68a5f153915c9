import dataclasses
import json
import shutil

import pytest

from lowbit import clean, intake, paths, store, train
from lowbit.registry import InputError
from lowbit.spec import RunSpec

TINY = "smoke(updates=2, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


@pytest.fixture
def elsewhere(home, monkeypatch):
    """A colleague's results: two records."""
    other = home / "colleague"
    monkeypatch.setenv("LOWBIT_HOME", str(other))
    made = [train.recall(RunSpec(budget=TINY, seed=seed)) for seed in (0, 1)]
    monkeypatch.setenv("LOWBIT_HOME", str(home))
    return other / "results", made


def verdicts(folder):
    return [each.verdict for each in intake.take(folder)]


def test_records_are_taken_once(elsewhere):
    folder, made = elsewhere
    assert verdicts(folder) == ["taken", "taken"]
    assert [store.load(record.run) for record in made] == made
    assert verdicts(folder) == ["known", "known"]


def edited(file, **changes):
    record = store.Record(**{**json.loads(file.read_text()), **changes})
    file.write_text(json.dumps(dataclasses.asdict(record.sealed())))


def test_what_is_no_record_of_this_study_is_refused(elsewhere):
    folder, made = elsewhere
    first, second = sorted(folder.rglob("*.json"))
    store.save(made[0])
    edited(first, curve=[made[0].curve[0] | {"valid": 9.0}])
    second.write_text(second.read_text().replace('"deployed"', '"displayed"', 1))
    reasons = [each.reason for each in intake.take(folder)]
    assert "differs" in reasons[0]
    assert "digest does not match" in reasons[1]
    assert store.load(made[0].run) == made[0]

    edited(second, data={"sha256": "0"})
    assert "no record" in intake.take(folder)[1].reason or "data differ" in intake.take(folder)[1].reason
    shutil.copy(first, first.with_name("other.json"))
    assert any("holds the record of" in each.reason for each in intake.take(folder))
    first.write_text("{")
    assert any("no record" in each.reason for each in intake.take(folder))


def test_a_folder_without_records_is_told(home):
    with pytest.raises(InputError, match="no records in"):
        intake.take(home)


def test_the_same_machine_makes_the_same_record_again(elsewhere):
    _, made = elsewhere
    assert intake.verify(made[0]).verdict == "same"
    assert not (paths.runs() / "verify").exists()


def test_a_score_on_another_machine_is_judged_by_the_seeds(elsewhere):
    _, (record, other) = elsewhere
    moved = {**record.metrics, "deployed": record.metrics["deployed"] + 1e-9}
    again = dataclasses.replace(record, metrics=moved, machine={**record.machine, "processor": "another"}).sealed()
    alone = intake.compare(record, again)
    assert alone.verdict == "near"
    assert "no seeds on file" in alone.reason
    for each in (record, other):
        store.save(each)
    assert record.metrics["deployed"] != other.metrics["deployed"]
    assert intake.compare(record, again).verdict == "near"
    far = dataclasses.replace(again, metrics={**record.metrics, "deployed": record.metrics["deployed"] + 99}).sealed()
    assert intake.compare(record, far).verdict == "different"
    assert intake.compare(record, dataclasses.replace(again, machine=record.machine)).verdict == "different"


def test_cleaning_keeps_what_a_run_goes_on_from_and_what_shows_an_error(elsewhere):
    _, made = elsewhere
    store.save(made[0])
    done, unfinished = (train.checkpoint_path(record.run) for record in made)
    notebook = paths.runs() / "notebooks" / "runs" / "failed.ipynb"
    rest = paths.results() / "smoke" / ".half.json.1.part"
    for file in (done, unfinished, notebook, rest):
        store.write(file, "")
    assert set(clean.clean()) == {done, rest}
    assert unfinished.exists()
    assert notebook.exists()
    assert clean.clean() == []
