"""The command line: clear lines, no tracebacks."""

import dataclasses
import os
import subprocess
import sys

import pytest

from lowbit import paths
from lowbit.__main__ import main
from lowbit.studies import store, study
from lowbit.studies.spec import RunSpec

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
        (["run", "tuor"], "no study 'tuor'; known: clipping, diagnosed"),
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


MANY = "budget=smoke(hidden=33, updates=101, layers=2, embedding=17, dropout=0.123456789012, batch=17, steps=33, \
rate=0.0123456789012, final_rate=0.0123456789012, divide=1.23456789012, clip_norm=1.23456789012, evaluate_every=51, \
patience=123456, calibration=9, valid_limit=4001, test_limit=4001)"
SPECS = [
    *(
        "dataset",
        "dataset=",
        "=markov",
        "dataset=nosuch",
        "dataset=markov(seed=-1)",
        "dataset=adding(length=10000000000)",
    ),
    *("dataset=copy_memory(delay=0)", "cell=lstn", "cell=gru(reset='x')", "norm=", "norm=batchnorm", "color=red"),
    *(
        "quantizer=",
        "quantizer=ternary\0",
        "quantizer=ternary\n(x",
        "quantizer=ternary(**{})",
        "quantizer=full(bits=2)",
    ),
    *("quantizer=ternary(threshold=5.0)", "quantizer=ternary(threshold=nan)", "quantizer=ternary(threshold=1e999)"),
    *("quantizer=ternary(threshold=0.1, threshold=0.2)", "quantizer=uniform(bits=0)", "quantizer=uniform(bits=True)"),
    *("quantizer=laq(bits=40)", "quantizer=lat(sides=7)", "quantizer=pow2(integer_bits=9999, fraction_bits=-9995)"),
    *("quantizer=alternating(cycles=0)", "quantizer=twn(ratio=0.0)", "quantizer=ttq(threshold=2.0)"),
    *("quantizer=ternary(threshold=" + "(" * 500, "quantizer=ternary(threshold=" + "-" * 100_000 + "1)"),
    *("quantizer=ternary(threshold=" + "9" * 5000 + ")", "quantized=", "quantized=softmax", "quantized=input+"),
    *("activations=tern", "activations=ternary(stochastic=True)", "budget=", "budget=huge", "budget=smoke(", MANY),
    *("budget=smoke(hidden=True)", "budget=smoke(hidden=0)", "budget=smoke(hidden=1000000000)"),
    *(
        "budget=smoke(rate=0)",
        "quantized=embedding",
        "budget=smoke(rate=-1)",
        "budget=smoke(rate=nan)",
        "budget=smoke(rate=1e999)",
    ),
    *("budget=smoke(divide=-2.0)", "budget=smoke(patience=-1)", "budget=smoke(test_limit=-5)", "budget=smoke(batch=0)"),
    *(
        "seed=",
        "seed=-1",
        "seed=1.5",
        "seed=100000000000000",
        "seed=18446744073709551616",
        "seed=\u0663",
        "seed=\u00b2",
    ),
    *("seed=1_000", "seed= 1", "seed=" + "9" * 6000),
]
COMMANDS = [
    *([], ["fly"], ["run"], ["run", "tuor"], ["run", "smoke", "--jobs", "x"], ["run", "smoke", "--jobs", "-1"]),
    *(["run", "smoke", "--jobs", "9" * 30], ["run", "smoke", "--executor", "moon"], ["run", "smoke", "--bogus"]),
    *(["run", "smoke", "--only"], ["run", "smoke", "--only", "seed"], ["run", "smoke", "--only", "sed=0"]),
    *(["run", "smoke", "--only", "seed=0", "seed=1"], ["run", "smoke", "--only", "quantizer=(", "--dry-run"]),
    *(["run", "smoke", "--only", "quantizer=tern"], ["run", "smoke", "--only", "norm=", "--dry-run"]),
    *(["status", "nosuch"], ["why"], ["why", ""], ["why", "../../secret"], ["why", "x" * 400], ["verify"]),
    *(
        ["verify", "smoke", "--sample", "-1"],
        ["verify", "smoke", "--sample", "x"],
        ["verify", "--hardware", "--sample=0"],
    ),
    *(["import"], ["import", ""], ["import", "nosuch"], ["import", "x" * 400], ["import", "a\0b"], ["data", ""]),
    *(["data", "nosuch"], ["rtl", "nosuch"], ["rtl", "ternary", "--hidden", "0"], ["rtl", "ternary", "--inputs", "-1"]),
    *(["rtl", "ternary", "--hidden", "1000000"], ["rtl", "ternary(lanes=0)"], ["rtl", "ternary", "--cell", "mlp"]),
    *(["rtl", "ternary(off_chip_bits_per_s=-1)"], ["synthesize", "nosuch"], ["synthesize", "sg13g2", "wire"]),
    *(["diagnose", "dataset=nosuch"], ["train", "seed=1", "seed=1"], ["train", "--x"]),
    *(["train", "dataset=digits", "budget=smoke(batch=300)"], ["train", "dataset=digits", "budget=smoke(embedding=8)"]),
]


@pytest.mark.parametrize(
    "words", [*COMMANDS, *(["train", word] for word in SPECS)], ids=lambda words: " ".join(words)[:50]
)
def test_every_malformed_command_is_one_line_and_code_2(words, capsys):
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.err.startswith("lowbit: ")
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_root_that_is_a_file_is_one_line(home, monkeypatch, capsys):
    home.joinpath("file").write_text("")
    monkeypatch.setenv("LOWBIT_HOME", str(home / "file"))
    for words in (["train", TINY], ["clean"], ["run", "smoke", "--only", "dataset=markov", "seed=0"]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_library_that_cannot_be_had_is_one_line(home, monkeypatch, capsys):
    import urllib.request

    def offline(*_, **__):
        raise OSError("network is unreachable")

    pytest.importorskip("amaranth", reason="the extra [rtl] is not installed")
    monkeypatch.delenv("LOWBIT_MIRROR", raising=False)
    monkeypatch.setenv("LOWBIT_DATA", str(home / "raw"))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    assert main(["synthesize", "sg13g2", "lane"]) == 2
    error = capsys.readouterr().err
    assert "sg13g2_stdcell" in error
    assert error.count("\n") == 1


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


def test_a_batch_draws_the_page_of_a_diverged_run_and_names_it(monkeypatch, capsys):
    monkeypatch.setitem(study.STUDIES, "stuck", lambda: [STUCK])
    assert main(["run", "stuck", "--jobs", "1", "--only", "quantizer=full"]) == 3
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
    from lowbit.training import train

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
