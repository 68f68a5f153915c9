"""The command line: clear lines, no tracebacks."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
import urllib.request

import pytest

from lowbit import paths
from lowbit.__main__ import main
from lowbit.studies import store, study
from lowbit.studies.spec import RunSpec

TINY = "budget=smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, valid_limit=300, test_limit=300)"


def test_training_prints_the_three_scores_and_saves_the_record(capsys):
    assert main(["train", "quantizer=ternary(stochastic=True)", TINY]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("deployed", "as published", "sampled", "record"))
    assert len(store.scan().records) == 1
    assert "recalled" not in out
    before = store.scan().records[0].machine["time"]
    assert main(["train", "quantizer=ternary(stochastic=True)", TINY]) == 0
    assert "recalled: the record was on file; --fresh trains again" in capsys.readouterr().out
    assert main(["train", "quantizer=ternary(stochastic=True)", TINY, "--fresh"]) == 0
    assert "recalled" not in capsys.readouterr().out
    assert store.scan().records[0].machine["time"] >= before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "quantizer=tern"], "no quantizer 'tern'; known: alternating, binary"),
        (["train", "color=red"], "a run has no field 'color'; known: dataset"),
        (["train", "hidden=64"], "it belongs to the budget, as in budget='smoke(hidden=...)'"),
        (["train", "ternary"], "cannot read 'ternary'; write it as FIELD=VALUE"),
        (["train", "quantizer=full(stochastic=True)"], "cannot be stochastic"),
        (["run", "tuor"], "no study 'tuor'; known: clipping, diagnosed"),
        (["run", "smoke", "--jobs", "0"], "jobs are counted from 1, not 0"),
        (["data", "ptb"], "no dataset 'ptb'; known: adding, "),
    ],
)
def test_wrong_input_is_one_line_and_code_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("lowbit: ")


MANY = "budget=smoke(hidden=33, updates=101, layers=2, embedding=17, dropout=0.123456789012, batch=17, steps=33, \
rate=0.0123456789012, final_rate=0.0123456789012, divide=1.23456789012, clip_norm=1.23456789012, evaluate_every=51, \
patience=123456, calibration=9, valid_limit=4001, test_limit=4001)"
VALUES = {  # of each field, separated by bars
    "dataset": "|nosuch|markov(seed=-1)|adding(length=10000000000)|copy_memory(delay=0)",
    "cell": "lstn|gru(reset='x')",
    "norm": "|batchnorm",
    "quantizer": "|ternary\0|ternary\n(x|ternary(**{})|full(bits=2)|ternary(threshold=5.0)|ternary(threshold=nan)"
    "|ternary(threshold=1e999)|ternary(threshold=0.1, threshold=0.2)|uniform(bits=0)|uniform(bits=True)|laq(bits=40)"
    "|lat(sides=7)|pow2(integer_bits=9999, fraction_bits=-9995)|alternating(cycles=0)|twn(ratio=0.0)"
    f"|ttq(threshold=2.0)|ternary(threshold={'(' * 500}|ternary(threshold={'-' * 100_000}1)"
    f"|ternary(threshold={'9' * 5000})",
    "quantized": "|softmax|input+|embedding",
    "activations": "tern|ternary(stochastic=True)",
    "budget": "|huge|smoke(|smoke(hidden=True)|smoke(hidden=0)|smoke(hidden=1000000000)|smoke(rate=0)|smoke(rate=-1)"
    "|smoke(rate=nan)|smoke(rate=1e999)|smoke(divide=-2.0)|smoke(patience=-1)|smoke(test_limit=-5)|smoke(batch=0)",
    "seed": f"|-1|1.5|100000000000000|18446744073709551616|\u0663|\u00b2|1_000| 1|{'9' * 6000}",
}
SPECS = [f"{field}={value}" for field, values in VALUES.items() for value in values.split("|")]
COMMANDS = f"""
fly|run|run tuor|run smoke --jobs x|run smoke --jobs -1|run smoke --jobs {"9" * 30}|run smoke --executor moon
run smoke --bogus|run smoke --only|run smoke --only seed|run smoke --only sed=0|run smoke --only seed=0 seed=1
run smoke --only quantizer=( --dry-run|run smoke --only quantizer=tern|run smoke --only norm= --dry-run
status nosuch|why|why ''|why ../../secret|why {"x" * 400}|verify|verify smoke --sample -1|verify smoke --sample x
verify --hardware --sample=0|import|import ''|import nosuch|import {"x" * 400}|import a\0b|data ''|data nosuch
rtl nosuch|rtl ternary --hidden 0|rtl ternary --inputs -1|rtl ternary --hidden 1000000|rtl 'ternary(lanes=0)'
rtl ternary --cell mlp|rtl 'ternary(off_chip_bits_per_s=-1)'|synthesize nosuch|synthesize sg13g2 wire
diagnose dataset=nosuch|train seed=1 seed=1|train --x|train dataset=digits 'budget=smoke(batch=300)'
train dataset=digits 'budget=smoke(embedding=8)'|train --until 0|train --until x|verify smoke --share 2
verify smoke --share nan|verify smoke --share 0|verify --hardware --share 0.5
"""
COMMANDS = [[], *(shlex.split(line) for line in re.split(r"[|\n]", COMMANDS.strip()))]
SPECS += ["dataset", "=markov", "color=red", MANY]


@pytest.mark.parametrize(
    "words", [*COMMANDS, *(["train", word] for word in SPECS)], ids=lambda words: " ".join(words)[:50]
)
def test_every_malformed_command_is_one_line_and_code_2(words, capsys):
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert error.startswith("lowbit: ")
    assert error.count("\n") == 1
    assert out == ""


def test_a_root_that_is_a_file_is_one_line(home, monkeypatch, capsys):
    home.joinpath("file").write_text("")
    monkeypatch.setenv("LOWBIT_HOME", str(home / "file"))
    for words in (["train", TINY], ["clean"], ["run", "smoke", "--only", "dataset=markov", "seed=0"]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["synthesize", "sg13g2", "lane"], ["sg13g2_stdcell"]),
        (["data", "warpeace"], ["warpeace_input", "LOWBIT_MIRROR"]),
    ],
)
def test_a_file_that_cannot_be_fetched_is_one_line(words, parts, monkeypatch, capsys):
    def offline(*_, **__):
        raise OSError("network is unreachable")

    if words[0] == "synthesize":
        pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")
    for name in ("LOWBIT_MIRROR", "LOWBIT_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in parts)
    assert error.count("\n") == 1


STUCK = RunSpec(
    cell="rnn(activation='relu')",
    norm="none",
    quantizer="full",
    budget=TINY.partition("=")[2].replace("hidden", "rate=1e9, final_rate=1e9, hidden"),
)


def test_a_diverged_run_is_named_on_standard_error_and_ends_with_3(capsys):
    words = [f"{field}={value}" for field, value in dataclasses.asdict(STUCK).items()]
    for _ in range(2):
        assert main(["train", *words]) == 3
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"{STUCK.key} diverged" in error
    assert main(["diagnose", *words]) == 2
    assert "diverged" in capsys.readouterr().err


def test_a_batch_executes_the_page_of_a_diverged_run_and_names_it(monkeypatch, capsys):
    monkeypatch.setitem(study.STUDIES, "stuck", lambda: [STUCK])
    assert main(["run", "stuck", "--jobs", "1", "--only", "quantizer=full"]) == 3
    out, error = capsys.readouterr()
    assert f"{STUCK.key} diverged" in error
    assert "0 failed" in out
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
    from lowbit.training import train

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupt)
    assert main(["train", TINY]) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_a_broken_record_is_reported_and_skipped(capsys):
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


def test_a_closed_output_pipe_is_no_error(home):
    words = [sys.executable, "-m", "lowbit", "run", "smoke", "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCE)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141
