import dataclasses
import errno
import json
import math
import os

import pytest

from lowbit import paths
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record


def record(**fields):
    run = RunSpec(**fields)
    scores = {"as_published": 2.0, "deployed": 1.5, "sampled": {"mean": 1.6, "std": 0.1, "values": [1.6]}}
    return Record(
        spec=dataclasses.asdict(run),
        recipe=dataclasses.asdict(run.recipe),
        metric={"name": "bpc", "unit": "bits per character"},
        metrics=scores,
        curve=[{"update": 9, "train_nats": 1.0, "valid": 1.5, "rate": 0.01}],
        weights={"layers.0.weight_h": {"scale": 0.1, "sha256": "0" * 64, "histogram": [1] * 64}},
        data={"sha256": "0" * 64},
        sizes={"parameters": 1, "recurrent_weights": 1, "packed_bytes": 1},
        seconds=1.0,
        machine={"gpu": None},
    ).sealed()


def rewrite(filed, change):
    """Changes the content of the file of a record."""
    content = json.loads(store.path(filed.run).read_text())
    change(content)
    store.path(filed.run).write_text(json.dumps(content))


def test_a_record_reads_back_as_it_was_written():
    filed = record()
    store.save(filed)
    assert store.load(filed.run) == filed
    assert store.scan().records == [filed]


def test_time_and_machine_do_not_change_the_digest():
    filed = record()
    other = dataclasses.replace(filed, seconds=99.0, machine={"gpu": "other"}, digest="")
    assert other.sealed().digest == filed.digest
    assert dataclasses.replace(filed, curve=[]).sealed().digest != filed.digest


@pytest.mark.parametrize("broken", ["", "{", "[1]", '{"spec": 1}', "null", "\x00\xff"])
def test_a_broken_file_is_named_skipped_and_reported(broken):
    good, bad = record(), record(seed=1)
    store.save(good)
    store.save(bad)
    store.path(bad.run).write_text(broken)
    records, (problem,) = store.scan()
    assert records == [good]
    assert store.path(bad.run).name in problem
    assert store.load(bad.run) is None


def test_a_changed_number_is_detected():
    filed = record()
    store.save(filed)
    rewrite(filed, lambda content: content["metrics"].update(deployed=0.1))
    assert "digest does not match" in store.scan().problems[0]


def test_a_record_under_another_name_is_detected():
    filed = record()
    store.save(filed)
    store.path(filed.run).rename(store.path(RunSpec(seed=5)))
    assert "holds the record of" in store.scan().problems[0]


def test_a_full_disk_leaves_the_old_record_and_no_temporary_file(monkeypatch):
    filed = record()
    store.save(filed)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="cannot write .*: No space left on device"):
        store.save(dataclasses.replace(filed, seconds=2.0))
    assert store.load(filed.run) == filed
    assert [file.name for file in store.path(filed.run).parent.iterdir()] == [store.path(filed.run).name]


def test_results_that_cannot_be_written_are_reported_before_training():
    paths.results().write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot write"):
        store.probe(RunSpec())


def test_only_the_named_budgets_are_read():
    store.save(record())
    store.save(record(budget="tour"))
    assert [filed.run.folder for filed in store.scan("tour").records] == ["tour"]
    assert len(store.scan().records) == 2


def test_the_table_has_a_row_per_record():
    filed = [record(), record(quantizer="binary", seed=2)]
    frame = store.frame(filed)
    assert list(frame["key"]) == [row.run.key for row in filed]
    assert list(frame["bits"]) == [2, 1]
    assert list(frame["deployed"]) == [1.5, 1.5]


DIVERGED = {"as_published": 2.0, "deployed": math.inf, "sampled": {"mean": math.nan, "std": 0.0, "values": [math.nan]}}


def point(update, skipped=None):
    return {"update": update, "train_nats": 1.0, "valid": 1.5, "rate": 0.01} | ({"skipped": skipped} if skipped else {})


def test_a_score_that_is_not_finite_marks_the_record_and_is_null_in_its_file():
    filed = dataclasses.replace(record(), metrics=DIVERGED).sealed()
    store.save(filed)
    content = json.loads(store.path(filed.run).read_text(), parse_constant=pytest.fail)
    assert content["diverged"] is True
    assert content["metrics"]["deployed"] is None
    assert store.load(filed.run) == filed
    assert store.scan().problems == []


@pytest.mark.parametrize(
    ("curve", "diverged"),
    [
        ([point(10, 10)], True),
        ([point(10), point(20, 10)], True),
        ([point(10, 10), point(20, 20)], True),
        ([point(10, 10), point(20, 19)], False),
        ([point(10), point(20, 9)], False),
        ([point(10, 3), point(20, 12)], False),
        ([point(10)], False),
    ],
)
def test_a_run_has_diverged_when_all_updates_since_the_last_but_one_validation_were_skipped(curve, diverged):
    filed = dataclasses.replace(record(), curve=curve)
    assert filed.diverged is diverged
    assert list(store.frame([filed])["diverged"]) == [diverged]


@pytest.mark.parametrize(
    ("score", "diverged"), [(4e9, True), (1.01 * 10 * 3.0, True), (9.9 * 3.0, False), (2.5, False)]
)
def test_a_run_has_diverged_when_it_is_ten_times_worse_than_the_worst_trivial_rule(score, diverged):
    filed = record()
    data = filed.data | {"baselines": {"uniform": 3.0, "frequency": 2.9}}
    for name in ("deployed", "as_published"):
        assert dataclasses.replace(filed, data=data, metrics=filed.metrics | {name: score}).diverged is diverged


def test_the_mark_follows_from_sealed_fields_so_that_older_records_stay_valid():
    filed = record()
    store.save(filed)
    rewrite(filed, lambda content: content.pop("diverged"))
    assert store.load(filed.run) == filed
    stuck = dataclasses.replace(filed, curve=[point(10, 10)]).sealed()
    store.save(stuck)
    rewrite(filed, lambda content: content.pop("diverged"))
    assert store.load(filed.run).diverged


def test_the_table_keeps_diverged_runs_with_scores_that_are_no_numbers():
    frame = store.frame([record(), dataclasses.replace(record(seed=1), metrics=DIVERGED)])
    assert list(frame["diverged"]) == [False, True]
    assert frame["deployed"].dtype == float
    assert math.isnan(frame["deployed"][1])


def test_a_file_is_on_disk_before_it_is_renamed(monkeypatch, tmp_path):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda stream: (calls.append("flushed"), fsync(stream)))
    monkeypatch.setattr(os, "replace", lambda part, file: (calls.append("named"), replace(part, file)))
    store.write(tmp_path / "a.json", "{}")
    assert calls == ["flushed", "named"]
