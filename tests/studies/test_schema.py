"""A file that is no record is refused by name, and the others are read."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from lowbit import paths
from lowbit.__main__ import main
from lowbit.onchip import record as onchip
from lowbit.registry import InputError
from lowbit.speed import benchmarks
from lowbit.studies import schema, sealed, store
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import diagnose, verify

RUN, OTHER = RunSpec(), RunSpec(seed=1)
DEEP = "[" * 100_000


def whole(run=RUN, **changes):
    """A record with something in every part."""
    matrix = {"scale": 0.1, "sha256": "0" * 64, "histogram": [1] * 64, "codes": [20, 24, 20], "saturated": 0.5}
    point = {"train_nats": 1.0, "valid": 1.5, "rate": 0.01}
    content = {
        "spec": dataclasses.asdict(run),
        "recipe": dataclasses.asdict(run.recipe),
        "metric": {"name": "bpc", "unit": "bits per character"},
        "metrics": {
            "as_published": 2.0,
            "deployed": 1.5,
            "sampled": {"mean": 1.6, "std": 0.1, "values": [1.6]},
            "further": {"nats": 1.0},
        },
        "curve": [point | {"update": 50}, point | {"update": 100, "skipped": 1}],
        "weights": {"layers.0.weight_h": matrix},
        "data": {"sha256": "0" * 64, "baselines": {"uniform": 3.0}, "entropy_bits": 1.0},
        "sizes": {"parameters": 64, "recurrent_weights": 64, "packed_bytes": 16},
        "seconds": 1.0,
        "machine": {"gpu": None, "threads": 1, "code": "0", "kernels": ["fused"], "spent": {"energy_joules": None}},
        "canary": {"sha256": "0" * 16, "scores": {"train 2": 1.0, "valid 2": 1.5}, "platform": {"torch": "2"}},
    }
    return dataclasses.asdict(Record(**content | changes).sealed())


def at(path, value):
    """Changes one value and the digest of the content."""
    *places, last = path.split(".")

    def change(content):
        part = content
        for place in places:
            part = part[int(place) if place.isdigit() else place]
        if value is KeyError:
            del part[last]
        elif isinstance(part, list):
            part[int(last)] = value
        else:
            part[last] = value
        return json.dumps(content | {"digest": sealed.digest(content)} if places or last != "digest" else content)

    return change


def text(content):
    """Replaces the record by another text."""
    return lambda _: content


def twice(content):
    return json.dumps(content).replace('"seconds":', '"seconds": 9.0, "seconds":')


def unsealed(content):
    content["metrics"]["deployed"] = 0.1
    return json.dumps(content)


def literal(path, word):
    """Replaces a value by one that Python writes and JSON does not have."""

    def change(content):
        return at(path, "HERE")(content).replace('"HERE"', word)

    return change


def matrix(name, **changes):
    """Changes the name and the values of the matrix."""
    return lambda content: at("weights", {name: content["weights"]["layers.0.weight_h"] | changes})(content)


MALFORMED = {
    "empty": text(""),
    "half": lambda content: json.dumps(content)[:200],
    "a number": text("1"),
    "a list": text("[1]"),
    "null": text("null"),
    "an empty object": text("{}"),
    "zeros": text("\x00" * 100),
    "deep": text(DEEP),
    "deep object": text('{"spec":' * 100_000),
    "deep where anything may stand": at("machine.note", json.loads("[" * 600 + "]" * 600)),
    "more updates than its recipe": lambda content: at("curve", [content["curve"][-1] | {"update": 10**15}])(content),
    "a matrix named as a path": matrix("../../x"),
    "digits": text('{"seconds": ' + "9" * 10_000 + "}"),
    "not UTF-8": lambda content: json.dumps(content).encode().replace(b"bits per", b"bits \xff"),
    "UTF-16": lambda content: json.dumps(content).encode("utf-16"),
    "a key twice": twice,
    "another digest": unsealed,
    "deployed NaN": literal("metrics.deployed", "NaN"),
    "deployed infinite": literal("metrics.deployed", "Infinity"),
    "deployed too large": literal("metrics.deployed", "1e999"),
    "histogram short": matrix("h", histogram=[]),
    "codes text": matrix("h", codes="20"),
    "seconds NaN": literal("seconds", "NaN"),
}
WRONG = {  # values by path; KeyError: nothing is there
    "metric.name": ["accuracy"],
    "metric.unit": ["<b>bits</b>\n", "\ud800", KeyError],
    "weights": [{}, None, []],
    "data.sha256": ["zz", KeyError, 0],
    "sizes.parameters": [0],
    "digest": [KeyError, None, 1],
    "spec.seed": [7, "0", False, 0.5, 10**400],
    "spec.dataset": ["marko", 3, ["markov"]],
    "spec": [None, []],
    "spec.color": ["red"],
    "spec.budget": ["(" * 10_000],
    "recipe": [None],
    "recipe.hidden": [KeyError, "32", -32],
    "recipe.color": [1],
    "recipe.rate": [None],
    "metric": ["bpc"],
    "metrics": [None, [1.5], {}],
    "metrics.deployed": ["1.5", None, True, [1.5], -1.5, KeyError],
    "metrics.as_published": [None],
    "metrics.sampled": [1.5],
    "metrics.sampled.values": [["1.6"], []],
    "metrics.further.nats": ["1"],
    "metrics.color": [1.0],
    "canary": ["0" * 16],
    "canary.scores": [KeyError, {}, {"valid 2": "1.5"}],
    "canary.sha256": ["zz"],
    "canary.color": ["yellow"],
    "curve": [None, [], [1, 2], {"update": 1}],
    "curve.1.update": ["100", 10**30],
    "curve.0.update": [KeyError],
    "curve.0.valid": ["1.5"],
    "curve.0.color": [1],
    "weights.layers": [None],
    "data": [None],
    "data.baselines": [{"uniform": "3"}],
    "sizes": [None],
    "sizes.packed_bytes": [-1, 1.5, KeyError],
    "seconds": ["1", -1.0],
    "machine": [None, "fast"],
    "machine.threads": ["1", 0],
    "machine.code": [7],
    "machine.kernels": ["fused"],
    "diverged": [True, "no"],
    "color": ["red"],
}
MALFORMED |= {f"{path} {value!r:.30}": at(path, value) for path, values in WRONG.items() for value in values}


def put(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content) if isinstance(content, bytes) else file.write_text(content, "utf-8")


@pytest.fixture
def broken(tmp_path):
    """Folders and links with the names of records."""
    folder = tmp_path / "colleague" / "smoke"
    (folder / "folder.json").mkdir(parents=True)
    (folder / "loop.json").symlink_to("loop.json")
    (folder / "nowhere.json").symlink_to("absent")
    os.mkfifo(folder / "pipe.json")
    return folder


def test_the_record_that_the_next_tests_damage_is_valid():
    put(store.path(RUN), json.dumps(whole()))
    assert store.scan().problems == []
    assert store.load(RUN) == Record(**whole())


@pytest.mark.parametrize("part", ["spec", "recipe", "metrics", "curve", "weights", "data", "sizes", "machine"])
@pytest.mark.parametrize("value", [None, "text", 1, 10**400, [], [1], {}, {"a": 1}, [{"update": "1"}]], ids=str)
def test_a_record_of_another_shape_can_be_sealed_and_is_then_refused(part, value):
    if (part, value) not in (("weights", {}), ("machine", {}), ("machine", {"a": 1})):
        file = paths.results() / "smoke" / f"{RUN.key}.json"
        content = dataclasses.asdict(Record(**whole() | {part: value}).sealed())
        put(file, json.dumps(schema.plain(content)))
        assert store.read(file)[1].startswith(("no record", "holds the record of"))


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_file_that_is_no_record_is_refused_by_name_and_the_rest_is_imported(kind, tmp_path, home):
    folder = tmp_path / "colleague" / "smoke"
    put(folder / f"{RUN.key}.json", MALFORMED[kind](whole()))
    put(folder / f"{OTHER.key}.json", json.dumps(whole(OTHER)))
    put(store.path(RUN), MALFORMED[kind](whole()))
    (problem,) = store.scan().problems
    assert store.path(RUN).name in problem
    assert "\n" not in problem
    assert store.load(RUN) is None
    verdicts = {row.file.stem: row.verdict for row in verify.take(folder)}
    assert verdicts == {RUN.key: "refused", OTHER.key: "taken"}
    assert len(store.frame(store.scan().records)) == 1


def test_folders_links_and_pipes_are_no_records(broken, home):
    put(broken / f"{OTHER.key}.json", json.dumps(whole(OTHER)))
    verdicts = [row.verdict for row in verify.take(broken)]
    assert sorted(verdicts) == ["refused"] * 4 + ["taken"]
    broken.rename(paths.results() / "tour")
    assert len(store.scan("tour").problems) == 5


@pytest.mark.parametrize("words", [["tables"], ["status", "smoke"], ["run", "smoke", "--dry-run"]])
def test_commands_name_files_that_are_no_record_and_continue(words, capsys):
    for number, change in enumerate(MALFORMED.values()):
        put(paths.results() / "cpu" / f"{number}.json", change(whole()))
    for folder in ("benchmarks", "hardware", "cpu/diagnosis"):
        for number, change in enumerate(MALFORMED.values()):
            put(paths.results() / folder / f"training-{number}.json", change(whole()))
    assert main(words) == 0
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4 * len(MALFORMED)
    assert all(line.startswith("lowbit: ") for line in errors)


def test_every_committed_record_matches_the_schema(monkeypatch):
    monkeypatch.delenv("LOWBIT_HOME")
    for kind in (store, diagnose, benchmarks, onchip):
        records, problems = kind.scan()
        assert records
        assert problems == []


def test_a_record_may_lack_the_fields_that_older_ones_lack():
    content = whole()
    for name in ("code", "kernels", "spent"):
        del content["machine"][name]
    for part, name in (("recipe", "embedding"), ("spec", "activations"), ("data", "baselines")):
        del content[part][name]
    del content["diverged"], content["canary"]
    put(store.path(RUN), json.dumps(content | {"digest": sealed.digest(content)}))
    assert store.scan().problems == []


def test_without_msgspec_a_machine_trains_and_recalls(home):
    """As on a GPU machine: a copied checkout, torch and numpy, nothing installed."""
    code = (
        "import importlib.metadata, sys\n"
        "sys.modules['msgspec'] = None\n"
        "def missing(name):\n"
        "    raise importlib.metadata.PackageNotFoundError(name)\n"
        "importlib.metadata.version = missing\n"
        "from lowbit.__main__ import main\n"
        "words = ['train', 'budget=smoke(updates=4, evaluate_every=2, test_limit=200, valid_limit=300)']\n"
        "sys.exit(main(words) or main(words))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(paths.SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(store.scan().records) == 1


def test_importing_records_needs_msgspec(monkeypatch, tmp_path):
    monkeypatch.setattr(schema, "msgspec", None)
    with pytest.raises(InputError, match="pip install msgspec"):
        verify.take(tmp_path)
