"""The command line: clear lines, no tracebacks."""

import dataclasses
import os
import subprocess
import sys

import pytest

from lowbit import paths, store, study
from lowbit.__main__ import main
from lowbit.spec import RunSpec

TINY = "budget=smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, valid_limit=300, test_limit=300)"


def test_training_prints_the_three_scores_and_files_the_record(capsys):
    assert main(["train", "quantizer=ternary(stochastic=True)", TINY]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("deployed", "as published", "sampled", "record"))
    assert len(store.scan().records) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "quantizer=tern"], "no quantizer 'tern'; known: alternating, binary"),
        (["train", "color=red"], "a run has no field 'color'; known: dataset"),
        (["train", "ternary"], "cannot read 'ternary'; write it as FIELD=VALUE"),
        (["train", "quantizer=full(stochastic=True)"], "cannot be stochastic"),
        (["run", "tuor"], "no study 'tuor'; known: diagnosed"),
        (["run", "smoke", "--jobs", "0"], "jobs are counted from 1, not 0"),
        (["data", "ptb"], "no dataset 'ptb'; known: adding, "),
    ],
)
def test_wrong_input_is_one_line_and_code_2(words, told, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert error.startswith("lowbit: ")


def test_missing_data_offline_is_one_clear_line(monkeypatch, capsys):
    import urllib.request

    def offline(*_, **__):
        raise OSError("network is unreachable")

    for name in ("LOWBIT_MIRROR", "LOWBIT_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    assert main(["data", "warpeace"]) == 2
    error = capsys.readouterr().err
    assert "warpeace_input.txt" in error
    assert "LOWBIT_MIRROR" in error
    assert error.count("\n") == 1


STUCK = RunSpec(
    cell="rnn(activation='relu')",
    norm="none",
    quantizer="full",
    budget=TINY.partition("=")[2].replace("hidden", "rate=1e30, final_rate=1e30, hidden"),
)


def test_a_diverged_run_is_named_on_standard_error_and_ends_with_1(capsys):
    words = [f"{field}={value}" for field, value in dataclasses.asdict(STUCK).items()]
    for _ in range(2):
        assert main(["train", *words]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"{STUCK.key} diverged" in error
    assert main(["diagnose", *words]) == 2
    assert "diverged" in capsys.readouterr().err


def test_a_batch_draws_the_page_of_a_diverged_run_and_names_it(monkeypatch, capsys):
    monkeypatch.setitem(study.STUDIES, "stuck", lambda: [STUCK])
    assert main(["run", "stuck", "--jobs", "1", "--only", "quantizer=full"]) == 1
    told = capsys.readouterr()
    assert f"{STUCK.key} diverged" in told.err
    assert "0 failed" in told.out
    assert (paths.book() / "pages" / "runs" / f"{STUCK.key}.ipynb").exists()
    (paths.book() / "pages" / "runs" / f"{STUCK.key}.ipynb").unlink()
    assert main(["run", "stuck", "--jobs", "1", "--only", "quantizer=full"]) == 0  # drawn again, not trained
    assert f"{STUCK.key} diverged" in capsys.readouterr().err
    assert main(["status", "stuck"]) == 0
    assert f"diverged: 1\n  {STUCK.key}" in capsys.readouterr().out


def test_results_that_cannot_be_written_are_one_line(capsys):
    paths.results().write_text("no folder")
    assert main(["train", TINY]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_an_interrupted_run_says_that_it_resumes(monkeypatch, capsys):
    from lowbit import train

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupt)
    assert main(["train", TINY]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_a_broken_record_is_reported_and_survived(capsys):
    store.write(store.path(RunSpec()), "{")
    assert main(["tables"]) == 0
    assert store.path(RunSpec()).name in capsys.readouterr().err


def test_status_lists_studies_and_pages(capsys):
    assert main(["status"]) == 0
    assert "tour: " in capsys.readouterr().out
    assert main(["status", "recorded"]) == 0
    assert "open: " in capsys.readouterr().out


def test_local_data_are_listed_with_their_digests(capsys):
    assert main(["data"]) == 0
    assert "markov: train" in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_error(home):
    words = [sys.executable, "-m", "lowbit", "run", "smoke", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCE)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as told:
        told.stdout.close()
        assert told.stderr.read() == ""
        assert told.wait() == 141
