"""The promise of `book/extend.md`: with one file, a quantizer is in tests, runs, tables and pages."""

import re
import shutil
import subprocess
import sys

from lowbit import paths

PROOF = """
import sys
from lowbit import quantizers
from lowbit.batch import pages
from lowbit.plots import tables
from lowbit.studies import study
from lowbit.studies.spec import RunSpec
from lowbit.plots.templates import Page

if __name__ == "__main__":
    assert "octal" in quantizers.names()
    assert quantizers.build("octal").bits == 3
    for name in ("smoke", "tour"):
        assert any(run.quantizer == "octal" for run in study.build(name)), name
    assert "octal" in tables.texts()["quantizers.md"]
    tiny = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, valid_limit=300, test_limit=300)"
    for template in ("train", "quantizer"):
        page = Page(template, RunSpec(quantizer="octal", budget=tiny))
        error = pages.execute(page)
        assert not error, error
        assert page.path.exists()
"""


def test_a_new_quantizer_is_one_file(tmp_path, monkeypatch):
    block = re.search(r"```\{?(?:code-block\} )?python\n(.*?class Octal.*?)```", extend(), re.S)[1]
    assert len(block.strip().splitlines()) <= 20
    copy = tmp_path / "copy"
    for folder in ("lowbit", "notebooks", "tests", "data/reported", "data/technology"):
        shutil.copytree(paths.SOURCE / folder, copy / folder)
    for file in ("conftest.py", "pyproject.toml", "book/references.bib", "data/machines.csv", "data/libraries.csv"):
        (copy / file).parent.mkdir(exist_ok=True)
        shutil.copy(paths.SOURCE / file, copy / file)
    (copy / "lowbit" / "quantizers" / "octal.py").write_text(block)
    (copy / "proof.py").write_text(PROOF)
    monkeypatch.setenv("PYTHONPATH", str(copy))
    monkeypatch.setenv("LOWBIT_HOME", str(copy))
    run(copy, "proof.py")
    out = run(copy, "-m", "pytest", "-p", "no:cacheprovider", "tests/quantizers/test_quantizers.py", "-k", "octal")
    assert int(re.search(r"(\d+) passed", out)[1]) >= 10


def extend():
    return (paths.SOURCE / "book" / "extend.md").read_text()


def run(copy, *words):
    done = subprocess.run([sys.executable, *words], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
