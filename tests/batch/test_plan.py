import dataclasses
import subprocess
import sys

import pytest

from lowbit.__main__ import main
from lowbit.batch import plan, view
from lowbit.registry import InputError
from lowbit.studies import provenance, store, study
from lowbit.training import train

TINY = "smoke(updates=2, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"
RUNS = study.grid(budget=[TINY], quantizer=["ternary", "ternary(stochastic=True)", "full"], seed=[0, 1])


@pytest.fixture
def six(monkeypatch):
    monkeypatch.setitem(study.STUDIES, "six", lambda: RUNS)
    return RUNS


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ({}, 6),
        ({"quantizer": "ternary"}, 4),
        ({"quantizer": "ternary( stochastic = True )"}, 2),
        ({"quantizer": "ternary(stochastic=True),full", "seed": "1"}, 2),
        ({"seed": "0,1", "budget": "smoke"}, 6),
    ],
)
def test_a_part_of_a_study_is_selected_by_fields(six, only, count):
    assert len(plan.chosen(six, only)) == count
    assert sum(page.template == "train" for page in plan.make("six", only).trained) == count


def test_a_part_without_runs_is_refused(six):
    with pytest.raises(InputError, match="no run with seed=7; there are: 0, 1"):
        plan.chosen(six, {"seed": "7"})


def test_a_plan_counts_recalled_runs_and_estimates_by_similar_runs(six):
    assert "6 runs: 0 recalled, 6 to train" in view.summary(plan.make("six"), 1)
    record = train.recall(six[0])
    store.save(dataclasses.replace(record, seconds=30.0))
    batch = plan.make("six")
    assert len(batch.trained) == 5
    assert {batch.seconds[page.name] for page in batch.trained} == {30.0}
    assert "1 recalled, 5 to train" in view.summary(batch, 1)


def test_a_record_of_other_code_is_stale_and_only_then_replaced(six, monkeypatch):
    monkeypatch.setattr(provenance, "_revision", lambda: ("0", False))
    record = train.recall(six[0])
    train.recall(six[1])
    store.save(of_other_code(record))
    assert [plan.freshness(run) for run in six[:3]] == ["stale", "fresh", "open"]
    assert plan.make("six", stale=True).replaced == [six[0]]
    assert plan.make("six").replaced == []
    store.save(dataclasses.replace(record, machine={"gpu": None}))
    assert plan.freshness(six[0]) == "unknown"


def of_other_code(record):
    """Returns the record as if code with other weights had made it."""
    return dataclasses.replace(record, canary={**record.canary, "sha256": "0" * 16})


def without_canary(record):
    return dataclasses.replace(record, canary=None)


def with_changes(record):
    return dataclasses.replace(record, machine={**record.machine, "dirty": True})


@pytest.mark.parametrize("change", [without_canary, with_changes, lambda record: with_changes(of_other_code(record))])
def test_a_record_of_unknown_code_is_counted_and_replaced_with_the_stale(change, six, monkeypatch, capsys):
    monkeypatch.setattr(provenance, "_revision", lambda: ("0", False))
    record, stale = train.recall(six[0]), train.recall(six[1])
    train.recall(six[2])
    store.save(change(record))
    store.save(of_other_code(stale))
    assert [plan.freshness(run) for run in six[:4]] == ["unknown", "stale", "fresh", "open"]
    assert set(plan.make("six", stale=True).replaced) == set(six[:2])
    assert main(["status", "six"]) == 0
    out = capsys.readouterr().out
    difference = f"canary {'0' * 16}, here {stale.canary['sha256']}"
    assert f"records of other code: 1\n  {six[1].key}: {difference}\n" in out
    assert f"records of unknown code: 1\n  {six[0].key}: " in out


def test_replacing_resumes_after_an_interruption_and_keeps_the_old_record_until_it_ends(six):
    old = [train.recall(run) for run in six[:2]]
    for run in plan.make("six", fresh=True).replaced:
        store.mark(run)
    assert [store.load(run) for run in six[:2]] == old
    new = train.recall(six[0])
    assert new.digest == old[0].digest
    assert not store.is_marked(six[0])
    assert plan.make("six", fresh=True).replaced == [six[1]]
    train.recall(six[1])
    assert plan.make("six", fresh=True).replaced == six[:2]


def test_the_digest_of_code_ignores_comments_and_follows_changes(monkeypatch, tmp_path):
    file = tmp_path / "module.py"

    def digest(text):
        file.write_text(text)
        provenance.bare.cache_clear()
        monkeypatch.setattr(provenance, "source", lambda module: file)
        return provenance.bare("module")

    plain = digest('"""Says."""\n\n\ndef f(x):\n    return x\n')
    assert digest('"""Says more."""\n\n# Why.\ndef f(x):\n    """A docstring."""\n\n    return x  # so\n') == plain
    assert digest('"""Says."""\n\n\ndef f(x):\n    return x + 1\n') != plain
    provenance.bare.cache_clear()


def test_a_meter_continues_from_the_state_of_another(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "POWER", tmp_path)
    assert provenance.Meter().read()["energy_joules"] is None
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.write_text("1000000")
    first = provenance.Meter()
    counter.write_text("3500000")
    spent = first.read()
    assert spent["energy_joules"] == 2.5
    second = provenance.Meter(spent)
    counter.write_text("500000")  # a counter that started again is left out
    assert second.read()["energy_joules"] == 2.5
    assert second.read()["wall_seconds"] >= spent["wall_seconds"]


def test_peak_memory_is_that_of_the_process_and_not_of_its_parent():
    code = "from lowbit.studies import provenance; print(provenance.peak_memory_mb())"
    starter = f"import subprocess, sys; data = b'1' * (600 << 20); {code}; "
    starter += f"subprocess.run([sys.executable, '-c', {code!r}])"
    done = subprocess.run([sys.executable, "-u", "-c", starter], capture_output=True, text=True, check=True)
    large, small = map(float, done.stdout.split())
    assert large > 600 > small > 50
