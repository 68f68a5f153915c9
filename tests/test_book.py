"""The references of the book exist: keys, includes, pages and reported values."""

import csv
import importlib.util
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from pybtex.database import parse_file

from lowbit import paths, quantizers
from lowbit.layers import norm
from lowbit.plots import tables, templates

BOOK = paths.SOURCE / "book"
CHAPTERS = sorted(BOOK.glob("*.md"))
CONFIG = yaml.safe_load((paths.SOURCE / "_config.yml").read_text())
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text())
TABLES = sorted(file for file in (BOOK / "tables").glob("*.md") if not file.name.startswith("claims_"))
CLAIMS = sorted((BOOK / "tables").glob("claims_*.md"))
REPORTED = sorted(paths.reported().glob("*.csv"))
HARDWARE = [file for file in REPORTED if "hardware" in file.name]
COLUMNS = "paper,table,task,dataset,model,hidden,method,quantizer,norm,metric,value,unit,size_kb,status,source"
HARDWARE_COLUMNS = "paper,table,design,quantizer,quantity,value,unit,status,source"


def entries(toc: dict, kind: str) -> list[str]:
    """Returns the files or globs that a table of contents names, at any depth."""
    found = [toc[key] for key in toc if key == kind or (key == "root" and kind == "file")]
    for key in ("parts", "chapters", "sections"):
        for item in toc.get(key, ()):
            found += entries(item, kind)
    return found


def rows(file: Path) -> list[dict]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def by_name(file: Path) -> str:
    return file.name


@pytest.fixture(scope="module")
def keys() -> set[str]:
    return set(parse_file(str(BOOK / "references.bib")).entries)


@pytest.mark.parametrize("page", CHAPTERS + TABLES + CLAIMS, ids=by_name)
def test_every_citation_is_in_the_bibliography(page, keys):
    cited = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text())
    assert {key.strip() for group in cited for key in group.split(",")} <= keys


@pytest.mark.parametrize("page", CHAPTERS, ids=by_name)
def test_no_cell_of_a_table_reads_as_a_comment(page):
    assert not re.findall(r"^[\s*-]*%.*$", page.read_text(), re.MULTILINE)


def test_the_toc_names_every_chapter_once():
    assert sorted(entries(TOC, "file")) == [page.stem for page in CHAPTERS]


def test_the_toc_takes_pages_from_where_they_are_executed():
    places = {"train": "runs", "quantizer": "quantizers", "training_speed": "speed", "inference_speed": "speed"}
    expected = {f"pages/{places.get(name, name)}/*" for name in templates.TEMPLATES}
    assert set(entries(TOC, "glob")) == expected


def test_the_chapters_include_every_generated_table_and_no_other():
    included = [name for page in CHAPTERS for name in re.findall(r"\{include\} (\S+)", page.read_text())]
    assert sorted(included) == sorted(f"tables/{name}" for name in tables.texts())


@pytest.mark.parametrize("file", TABLES, ids=by_name)
def test_a_committed_table_is_one_table(file):
    head, rule, *body = file.read_text().splitlines()
    assert re.fullmatch(r"(\| :?--+:? )+\|", rule)
    assert all(line.startswith("| ") and line.endswith(" |") for line in (head, *body))


@pytest.mark.parametrize("page", CHAPTERS, ids=by_name)
def test_no_chapter_has_a_typed_result(page):
    assert not re.search(r"\d\s?%|\d\.\d+ (?:bits|bpc|perplexity|nats)", page.read_text())


def test_styles_and_drawings_load_nothing():
    for file in (BOOK / "_static").iterdir():
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"//\w|@import|url\(", text), file.name


def test_mathjax_is_taken_from_a_package():
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    folder, script = CONFIG["sphinx"]["config"]["mathjax_path"].split("/")
    assert (Path(found.origin).parent / "static" / folder / script).is_file()
    assert f'"{script}"' in (BOOK / "_ext" / "offline.py").read_text()


def test_the_book_executes_nothing():
    assert CONFIG["execute"]["execute_notebooks"] == "off"


def test_the_worked_example_works(monkeypatch):
    quantizers.names()  # all are there before one more comes and goes
    monkeypatch.setattr(quantizers.registry, "_classes", dict(quantizers.registry._classes))
    leaf, use = re.findall(r"```python\n(.*?)```", (BOOK / "extend.md").read_text(), re.S)
    exec(leaf, {"__name__": "lowbit.quantizers.octal"})
    names: dict = {}
    exec(use, names)
    assert "octal" in quantizers.names()
    assert names["q"].bits == 3
    assert names["w"].grad.eq(1).all()


def test_the_chapter_on_your_own_code_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (BOOK / "own.md").read_text(), re.S):
        exec(block, names)
    assert names["loss"] < 0.4  # of 2.1 at the start
    assert names["packed"].generate("aceg", 8, temperature=0.01) == "acegaceg"
    if shutil.which("cc"):
        subprocess.run(["cc", "-o", "counter", "counter.c", "counter_main.c"], check=True)
        assert subprocess.run("./counter", capture_output=True, text=True, check=True).stdout.startswith("right\n")


@pytest.mark.parametrize("file", REPORTED, ids=by_name)
def test_a_reported_value_is_a_number_with_a_source(file):
    expected = HARDWARE_COLUMNS if file in HARDWARE else COLUMNS
    assert file.read_text().splitlines()[0] == expected
    for row in rows(file):
        assert math.isfinite(float(row["value"]))
        assert row["unit"]
        assert row["source"]


@pytest.mark.parametrize("file", [file for file in REPORTED if file not in HARDWARE], ids=by_name)
def test_a_reported_row_uses_the_names_of_the_library(file):
    for row in rows(file):
        assert not row["quantizer"] or quantizers.canonical(row["quantizer"]) == row["quantizer"]
        assert not row["norm"] or row["norm"] in norm.names()
        assert not row["hidden"] or int(row["hidden"]) > 0
        assert not row["size_kb"] or float(row["size_kb"]) > 0
