"""Runs raise or hang, and processes are killed at any moment: all other records equal those of a quiet run."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lowbit import paths
from lowbit.batch import journal, pages
from lowbit.plots.templates import Page
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import train

SIZES = "evaluate_every=20, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300"
DRIVER = """
import sys
sys.path.insert(0, {folder!r})
import tortured
from lowbit.__main__ import main
if __name__ == "__main__":
    sys.exit(main(["run", "tortured", "--jobs", "{jobs}"]))
"""
STUDY = """
from lowbit.plots import templates
from lowbit.studies import study
from lowbit.studies.spec import RunSpec
from lowbit.plots.templates import Page

@study.study
def tortured():
    return [RunSpec(budget=budget, seed=seed) for budget, seed in {runs!r}]

templates.pages = lambda runs: ([Page("train", run) for run in runs], [])
"""


def plan_of(home, healthy, raising, hanging):
    """Writes a study into `home`; returns its runs by outcome."""
    quick, endless = f"smoke(updates=120, {SIZES})", f"tour(updates=10000000, {SIZES})"
    good = [(quick, seed) for seed in range(healthy)]
    bad = [(quick, healthy + seed) for seed in range(raising)]
    stuck = [(endless, seed) for seed in range(hanging)]
    home.joinpath("tortured.py").write_text(STUDY.format(runs=good + bad + stuck))
    home.joinpath("resources.toml").write_text("[smoke]\nminutes = 10\n\n[tour]\nminutes = 0.05\n")
    fates = [[RunSpec(budget=budget, seed=seed) for budget, seed in part] for part in (good, bad, stuck)]
    for run in fates[1]:
        store.path(run).mkdir(parents=True)  # a record can never be written there
    return fates


def start(home):
    jobs = os.cpu_count()  # so that each run has one thread, as the quiet run
    code = DRIVER.format(folder=str(home), jobs=jobs)
    environment = {**os.environ, "PYTHONPATH": f"{paths.SOURCE}:{os.environ.get('PYTHONPATH', '')}"}
    with open(home / "driver.log", "ab") as log:
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=log, stderr=log)


def kill_one(driver, chance):
    """Kills the driver or any of its child processes; returns which."""
    below = psutil.Process(driver.pid).children(recursive=True)
    victim = chance.choice([driver.pid, *(process.pid for process in below)])
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return victim


def torture(home, kills, pause, limit, chance):
    for _ in range(kills):
        driver = start(home)
        time.sleep(chance.uniform(*pause))
        if driver.poll() is None:
            kill_one(driver, chance)
            time.sleep(chance.uniform(0, 2))
        driver.kill()
        driver.wait()
    driver = start(home)
    return driver.wait(timeout=limit)


def content(record):
    """All fields but those of time and machine."""
    return {name: value for name, value in record.content.items() if name not in ("seconds", "machine")}


def check(home, fates, monkeypatch):
    healthy, raising, hanging = fates
    records = [store.load(run) for run in healthy]
    failed = {page for page in (*raising, *hanging) if journal.state(Page("train", page)) == "failed"}
    assert failed == {*raising, *hanging}
    for run in (*raising, *hanging):
        assert pages.unfinished(Page("train", run).name).exists()
        assert store.load(run) is None
    for run in hanging:
        assert "longer than its limit" in journal.why(run.key)
    assert all(pages.is_current(Page("train", run)) for run in healthy)
    assert not list(paths.results().rglob("*.part"))
    monkeypatch.setenv("LOWBIT_HOME", str(home / "quiet"))
    for run, record in zip(healthy, records, strict=True):
        assert content(train.recall(run)) == content(record)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fates", "kills", "pause", "limit"),
    [pytest.param((3, 1, 1), 2, (3, 9), 120, id="few"), pytest.param((36, 3, 1), 12, (4, 15), 600, id="many")],
)
def test_a_batch_survives_kills_errors_and_endless_runs(home, monkeypatch, fates, kills, pause, limit):
    healthy, raising, hanging = fates
    planned = plan_of(home, healthy, raising, hanging)
    assert torture(home, kills, pause, limit, chance=random.Random(kills)) == 1
    check(home, planned, monkeypatch)


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A file system of a few megabytes as the root."""
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    monkeypatch.setenv("LOWBIT_HOME", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_costs_no_record(small_disk, monkeypatch):
    fates = plan_of(small_disk, healthy=3, raising=0, hanging=0)
    filler = small_disk / "filler"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    filler.write_bytes(b"0" * (free - 40_000))
    assert start(small_disk).wait(timeout=200) != 0
    assert not any(pages.is_current(Page("train", run)) for run in fates[0])
    filler.unlink()
    assert start(small_disk).wait(timeout=200) == 0
    check(small_disk, fates, monkeypatch)
