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


def test_a_record_reads_back_as_it_was_written():
    made = record()
    store.save(made)
    assert store.load(made.run) == made
    assert store.scan().records == [made]


def test_time_and_machine_do_not_touch_the_digest():
    made = record()
    other = dataclasses.replace(made, seconds=99.0, machine={"gpu": "other"}, digest="")
    assert other.sealed().digest == made.digest
    assert dataclasses.replace(made, curve=[]).sealed().digest != made.digest


@pytest.mark.parametrize("broken", ["", "{", "[1]", '{"spec": 1}', "null", "\x00\xff"])
def test_a_broken_file_is_named_skipped_and_reported(broken):
    good, bad = record(), record(seed=1)
    store.save(good)
    store.save(bad)
    store.path(bad.run).write_text(broken)
    found = store.scan()
    assert found.records == [good]
    assert len(found.problems) == 1
    assert store.path(bad.run).name in found.problems[0]
    assert store.load(bad.run) is None


def test_a_changed_number_is_noticed():
    made = record()
    store.save(made)
    told = json.loads(store.path(made.run).read_text())
    told["metrics"]["deployed"] = 0.1
    store.path(made.run).write_text(json.dumps(told))
    assert "digest does not match" in store.scan().problems[0]


def test_a_record_under_another_name_is_noticed():
    made = record()
    store.save(made)
    store.path(made.run).rename(store.path(RunSpec(seed=5)))
    assert "holds the record of" in store.scan().problems[0]


def test_a_full_disk_leaves_the_old_record_and_no_rest(monkeypatch):
    made = record()
    store.save(made)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="cannot write .*: No space left on device"):
        store.save(dataclasses.replace(made, seconds=2.0))
    assert store.load(made.run) == made
    assert [file.name for file in store.path(made.run).parent.iterdir()] == [store.path(made.run).name]


def test_results_that_cannot_be_written_are_told_before_training():
    paths.results().write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot write"):
        store.probe(RunSpec())


def test_only_the_asked_budgets_are_read():
    store.save(record())
    store.save(record(budget="tour"))
    assert [found.run.folder for found in store.scan("tour").records] == ["tour"]
    assert len(store.scan().records) == 2


def test_the_table_has_a_row_a_record():
    made = [record(), record(quantizer="binary", seed=2)]
    frame = store.frame(made)
    assert list(frame["key"]) == [each.run.key for each in made]
    assert list(frame["bits"]) == [2, 1]
    assert list(frame["deployed"]) == [1.5, 1.5]


LOST = {"as_published": 2.0, "deployed": math.inf, "sampled": {"mean": math.nan, "std": 0.0, "values": [math.nan]}}


def point(update, skipped=None):
    return {"update": update, "train_nats": 1.0, "valid": 1.5, "rate": 0.01} | ({"skipped": skipped} if skipped else {})


def refuse(word):
    raise ValueError(word)


def test_a_score_that_is_not_finite_marks_the_record_and_is_null_in_its_file():
    made = dataclasses.replace(record(), metrics=LOST).sealed()
    store.save(made)
    content = json.loads(store.path(made.run).read_text(), parse_constant=refuse)
    assert content["diverged"] is True
    assert content["metrics"]["deployed"] is None
    assert store.load(made.run) == made
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
    made = dataclasses.replace(record(), curve=curve)
    assert made.diverged is diverged
    assert list(store.frame([made])["diverged"]) == [diverged]


@pytest.mark.parametrize(
    ("score", "diverged"), [(4e9, True), (1.01 * 10 * 3.0, True), (9.9 * 3.0, False), (2.5, False)]
)
def test_a_run_has_diverged_when_it_is_ten_times_worse_than_the_worst_trivial_rule(score, diverged):
    made = record()
    data = made.data | {"baselines": {"uniform": 3.0, "frequency": 2.9}}
    for name in ("deployed", "as_published"):
        assert dataclasses.replace(made, data=data, metrics=made.metrics | {name: score}).diverged is diverged


def test_the_mark_follows_from_what_the_digest_covers_so_that_older_records_keep_theirs():
    made = record()
    store.save(made)
    content = json.loads(store.path(made.run).read_text())
    del content["diverged"]
    store.path(made.run).write_text(json.dumps(content))
    assert store.load(made.run) == made
    stuck = dataclasses.replace(made, curve=[point(10, 10)]).sealed()
    store.save(stuck)
    content = json.loads(store.path(made.run).read_text())
    del content["diverged"]
    store.path(made.run).write_text(json.dumps(content))
    assert store.load(made.run).diverged


def test_the_table_keeps_diverged_runs_with_scores_that_are_no_numbers():
    frame = store.frame([record(), dataclasses.replace(record(seed=1), metrics=LOST)])
    assert list(frame["diverged"]) == [False, True]
    assert frame["deployed"].dtype == float
    assert math.isnan(frame["deployed"][1])


def test_a_file_is_on_the_disk_before_it_has_its_name(monkeypatch, tmp_path):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda stream: (calls.append("flushed"), fsync(stream)))
    monkeypatch.setattr(os, "replace", lambda part, file: (calls.append("named"), replace(part, file)))
    store.write(tmp_path / "a.json", "{}")
    assert calls == ["flushed", "named"]
