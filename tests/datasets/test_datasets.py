"""Laws of `lowbit.datasets`: of every registered dataset, of datasets defined here, and of the real files."""

import csv
import dataclasses
import random
import sys
import sysconfig
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from lowbit import datasets, paths
from lowbit.datasets import linux_kernel, stdlib
from lowbit.datasets.base import SPLITS, Text
from lowbit.datasets.download import fetch
from lowbit.datasets.markov import Markov
from lowbit.datasets.metrics import IGNORED, Batch
from lowbit.datasets.sequences import Sequences
from lowbit.datasets.warpeace import Warpeace
from lowbit.registry import InputError

FETCHED = [name for name in datasets.names() if name not in datasets.local()]
BUDGETS = ("smoke", "tour", "brief", "cpu", "search", "long", "paper")
pytestmark = pytest.mark.usefixtures("raw")
unhurried = settings(deadline=None, max_examples=40)  # the machine may be shared


@dataclasses.dataclass(frozen=True)
class Counting(Text):
    """A text in which each symbol is its index."""

    title: ClassVar[str] = "Counting"
    length: int = 1000

    def read(self):
        return {split: (np.arange(self.length, dtype=np.int32),) for split in SPLITS}


@dataclasses.dataclass(frozen=True)
class Numbered(Sequences):
    """Sequences whose features are their index."""

    title: ClassVar[str] = "Numbered"
    length: int = 10

    def read(self):
        numbers = np.arange(self.length)
        return {split: (numbers.repeat(12).reshape(-1, 4, 3).astype(np.float32), numbers) for split in SPLITS}


# Of every registered dataset, without its data.


@pytest.mark.parametrize("name", datasets.names())
def test_a_dataset_has_a_description_and_recipes(name):
    dataset = datasets.build(name)
    assert dataset.title
    assert dataset.licence
    assert dataset.reference.isidentifier()
    assert "smoke" in dataset.recipes
    assert set(dataset.recipes) <= set(BUDGETS)
    assert set(dataset.counts) == {*SPLITS, "outputs"}
    assert datasets.canonical(name) == name


@pytest.mark.parametrize("name", FETCHED)
def test_a_downloaded_file_has_an_address_a_checksum_and_a_unique_name(name):
    files = datasets.build(name).files
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert len(bytes.fromhex(file.sha256)) == 32 or len(bytes.fromhex(file.git_sha1)) == 20
        assert all(url.startswith(("https://", "http://")) for url in file.urls)
        assert file.urls
        assert not Path(file.name).is_absolute()


@pytest.mark.parametrize("name", datasets.names())
def test_the_readme_has_a_row_with_licence_counts_and_checksums(name):
    dataset = datasets.build(name)
    lines = (paths.SOURCE / "data" / "README.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{name}` |")]
    for split in SPLITS:
        assert f"{dataset.counts[split]:,}" in row
    assert f"| {dataset.counts['outputs']}" in row
    for file in dataset.files:
        assert f"`{file.name}` {file.sha256[:12]}" in row


def test_a_budget_selects_a_recipe_and_may_change_its_fields():
    digits = datasets.build("digits")
    assert digits.recipe("smoke(hidden=7)") == dataclasses.replace(digits.recipes["smoke"], hidden=7)
    with pytest.raises(InputError, match=r"no budget 'warp' for Digits.*known: smoke, tour"):
        digits.recipe("warp")
    with pytest.raises(InputError, match="no field 'wheels'; known: hidden, updates"):
        digits.recipe("smoke(wheels=4)")


# Of every registered dataset that needs no download.


@pytest.mark.parametrize("name", datasets.local())
def test_two_loads_have_the_same_digest(name, real):
    assert real(name).digest == datasets.build(name).digest


@pytest.mark.parametrize("name", datasets.local())
def test_splits_have_the_expected_counts_and_share_no_memory(name, real):
    dataset = real(name)
    for split in SPLITS:
        assert {len(array) for array in dataset.splits[split]} == {dataset.counts[split]}
        assert all(array.flags.writeable for array in dataset.splits[split])  # else torch warns
    for one, other in [("train", "valid"), ("train", "test"), ("valid", "test")]:
        assert not np.shares_memory(dataset.splits[one][0], dataset.splits[other][0])
    assert dataset.outputs == dataset.counts["outputs"]
    if dataset.task != "regress":
        assert dataset.splits["train"][-1].max() < dataset.outputs


@pytest.mark.parametrize("name", datasets.local())
def test_every_recipe_gives_batches_of_its_size(name, real):
    dataset = real(name)
    for recipe in dataset.recipes.values():
        batch = next(dataset.batches("train", recipe.batch, recipe.steps, torch.Generator()))
        assert batch.x.shape[:2] == (recipe.steps, recipe.batch)
        assert batch.y.shape == (batch.x.shape[:2] if dataset.task in ("char-lm", "copy") else (recipe.batch,))
        assert 0 <= batch.x.min() <= batch.x.max() <= max(1, dataset.inputs - 1)
        assert next(dataset.streams("valid", 1, recipe.steps, recipe.valid_limit)).fresh


# Of texts.

sizes = {"batch": st.integers(1, 9), "steps": st.integers(1, 20), "limit": st.integers(30, 1100)}


def scored(parts):
    """Returns the targets that are scored, in order; each is the symbol after its input."""
    x, y = (torch.cat([getattr(part, name).T.flatten() for part in parts]) for name in "xy")
    counted = y != IGNORED
    assert torch.equal(y[counted], x[counted] + 1)
    return y[counted].sort().values


@unhurried
@given(**sizes, shuffle=st.booleans())
def test_segments_of_a_tested_split_score_every_symbol_but_the_first_once(batch, steps, limit, shuffle):
    generator = torch.Generator().manual_seed(0) if shuffle else None
    parts = list(Counting().batches("test", batch, steps, generator, limit))
    assert torch.equal(scored(parts), torch.arange(1, min(limit, 1000)))
    assert {part.x.shape[0] for part in parts} == {steps}
    counts = [part.x.shape[1] for part in parts]
    assert max(counts) - min(counts) <= 1
    assert len(parts) == 1 or 2 * batch / 3 <= sum(counts) / len(parts) <= 1.5 * batch


@unhurried
@given(**sizes)
def test_segments_of_train_cover_the_text_except_less_than_one_batch(batch, steps, limit):
    batches = list(Counting().batches("train", batch, steps, limit=limit))
    symbols = torch.cat([part.x.T.flatten() for part in batches])
    length = min(limit, 1000)
    assert torch.equal(symbols, torch.arange(len(symbols)))
    assert 0 <= length - 1 - len(symbols) < steps * batch
    assert {part.x.shape[0] for part in batches} == {steps}


@unhurried
@given(**sizes, seed=st.integers(0, 2**32))
def test_shuffled_segments_are_a_permutation_that_depends_on_the_generator_alone(batch, steps, limit, seed):
    def draw():
        torch.manual_seed(random.randrange(99))
        generator = torch.Generator().manual_seed(seed)
        return list(Counting().batches("train", batch, steps, generator, limit))

    parts = draw()
    for part, again in zip(parts, draw(), strict=True):
        assert part.fresh
        assert torch.equal(part.y, part.x + 1)
        assert torch.equal(part.x, part.x[:1] + torch.arange(steps)[:, None])
        assert torch.equal(part.x, again.x)
    starts = torch.cat([part.x[0] for part in parts])
    assert len(starts.unique()) == len(starts)
    assert len((starts % steps).unique()) == 1  # one offset for all
    assert max(int(part.y.max()) for part in parts) < min(limit, 1000)


@unhurried
@given(**sizes)
def test_concatenated_streams_are_the_text(batch, steps, limit):
    parts = list(Counting().streams("test", batch, steps, limit))
    length = min(limit, 1000) - 1
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    assert x.numel() - length < batch
    assert torch.equal(x.T.flatten()[:length], torch.arange(length))
    assert torch.equal(scored([Batch(x, y)]), torch.arange(1, length + 1))
    assert [part.fresh for part in parts] == [True] + [False] * (len(parts) - 1)


@pytest.mark.parametrize("name", [name for name in datasets.local() if datasets.build(name).task == "char-lm"])
def test_concatenated_streams_of_a_dataset_are_its_text(name, real):
    (codes,) = real(name).splits["valid"]
    (part,) = real(name).streams("valid", 1, len(codes))
    assert np.array_equal(part.x[:, 0], codes[:-1])
    assert np.array_equal(part.y[:, 0], codes[1:])


@unhurried
@given(length=st.integers(1, 10), more=st.integers(0, 3))
def test_a_text_too_short_for_a_segment_is_refused(length, more):
    for way in (Counting(length).batches, Counting(length).streams):
        with pytest.raises(InputError, match=f"Counting: {length} symbols of valid, at least"):
            next(way("valid", length + more, length + more))


def test_a_count_that_differs_from_the_expected_one_is_refused(monkeypatch):
    monkeypatch.setattr(Counting, "counts", {"train": 999})
    with pytest.raises(InputError, match="Counting: train counts 1000, must be 999"):
        _ = Counting().splits


# Of sequences.


@unhurried
@given(batch=st.integers(1, 12), length=st.integers(1, 30), limit=st.integers(0, 40), seed=st.integers(0, 99))
def test_batches_hold_whole_sequences_with_their_classes(batch, length, limit, seed):
    dataset, used = Numbered(length), min(limit or length, length)
    shuffled = dataset.batches("train", batch, 4, torch.Generator().manual_seed(seed), limit)
    for parts, count in [
        (list(dataset.batches("train", batch, 4, limit=limit)), used),
        (list(dataset.streams("train", batch, 4, limit=limit)), used),
        (list(shuffled), used - used % batch or used),
    ]:
        for part in parts:
            assert part.fresh
            assert part.x.shape == (4, len(part.y), 3)
            assert torch.equal(part.x, part.y.float().expand(3, 4, -1).permute(1, 2, 0))
        numbers = [number for part in parts for number in part.y.tolist()]
        assert len(set(numbers)) == len(numbers) == count
        assert all(number < used for number in numbers)


def test_digits_are_those_of_scikit_learn_each_once(real):
    x = np.concatenate([real("digits").splits[split][0] for split in SPLITS])[:, :, 0]
    y = np.concatenate([real("digits").splits[split][1] for split in SPLITS])
    pixels, classes = load_digits(return_X_y=True)
    ours = sorted(map(tuple, np.column_stack([x * 16, y]).tolist()))
    assert ours == sorted(map(tuple, np.column_stack([pixels, classes]).tolist()))


def test_the_error_of_digits_without_scikit_learn_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match="needs scikit-learn"):
        datasets.build("digits").read()


# Of the Markov source.


def rates(codes: np.ndarray, order: int) -> float:
    """Returns the bits per symbol of the best predictor from the last `order` symbols, by counts."""
    count = len(codes) - order
    wholes = sum(codes[start : start + count].astype(int) * 8 ** (order - start) for start in range(order + 1))
    counts = [np.unique(numbers, return_counts=True)[1] for numbers in (wholes, wholes // 8)]
    entropy = [-(part / count * np.log2(part / count)).sum() for part in counts]
    return float(entropy[0] - entropy[1])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_entropy_of_the_markov_source_equals_that_of_counts(seed):
    source = Markov(seed)
    (codes,) = source.splits["train"]
    # Counting from N symbols misses by about 1.3 / sqrt(N) bits (the spread of log P) and 448 / (2 N ln 2).
    assert abs(rates(codes, 2) - source.entropy) < 5 * 1.3 / np.sqrt(len(codes))
    assert rates(codes, 1) > source.entropy + 0.5
    assert 1.5 < source.entropy < 2.0
    assert source.facts() == {"entropy_bits": source.entropy}


def test_the_splits_of_the_markov_text_have_one_source_and_seeds_differ():
    parts = Markov().splits
    assert rates(parts["test"][0], 2) == pytest.approx(Markov().entropy, abs=0.05)
    assert Markov().digest != Markov(1).digest
    np.testing.assert_allclose(Markov().table.sum(axis=2), 1)


# Of the standard library.


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of 400 files of 15,000 characters, each of one unique word, and files that are excluded."""
    for number in range(400):
        folder = tmp_path / f"folder{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}.py").write_text(f"word{number:04d}\n" * 1667)
    for folder in ("test", "folder1/tests", "idlelib", "lib2to3", "site-packages", "encodings", "config-3"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "out.py").write_text("LEFT OUT\n" * 9999)
    (tmp_path / "folder1" / "notes.txt").write_text("LEFT OUT\n")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    return tmp_path


def as_text(codes: np.ndarray) -> str:
    alphabet = datasets.build("stdlib").alphabet
    return "".join(alphabet[code] for code in codes)


def test_a_file_of_the_library_is_in_one_split_and_tests_in_none(library):
    lines = {
        split: {line for line in as_text(codes).splitlines() if len(line) == 8}
        for split, (codes,) in datasets.build("stdlib").splits.items()
    }
    assert not lines["train"] & lines["valid"] | lines["train"] & lines["test"] | lines["valid"] & lines["test"]
    assert "LEFT OUT" not in set.union(*lines.values())
    assert len(lines["train"]) > 5 * len(lines["valid"])


def test_the_first_symbols_of_a_split_come_from_many_files(library):
    (codes,) = datasets.build("stdlib").splits["valid"]
    pieces = len(codes[:20_000]) // stdlib.PIECE
    assert len(set(as_text(codes[:20_000]).split())) > pieces / 2


def test_a_library_that_is_too_small_is_refused(library, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(library / "folder1")})
    with pytest.raises(InputError, match=r"characters for .*, .* are needed; this Python was installed without"):
        datasets.build("stdlib").read()


def test_the_text_of_the_library_is_that_of_this_python(real):
    (codes,) = real("stdlib").splits["train"]
    text = as_text(codes)
    assert "    return self." in text
    assert all(ord(symbol) < 128 for symbol in set(text))
    assert real("stdlib").facts() == {"python": sys.version.split()[0]}


@unhurried
@given(text=st.text(alphabet=st.sampled_from("ab\n"), max_size=40).map(lambda text: text * 300))
def test_pieces_end_at_line_ends_and_concatenate_to_the_text(text):
    pieces = list(stdlib.cut(text))
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") and len(piece) > stdlib.PIECE for piece in pieces[:-1])


# Of the Linux kernel's assembly.


def test_the_kernel_is_concatenated_from_its_folder_in_the_known_order(tmp_path, archive):
    order = linux_kernel.order(["kernel/zebra.c", "kernel/rcu/update.c", "kernel/irq/autoprobe.c"])
    assert order == ["kernel/irq/autoprobe.c", "kernel/rcu/update.c", "kernel/zebra.c"]
    names = [*reversed(order), "kernel/Makefile", "lib/other.c", "kernel/rcu/Kconfig.c.txt"]
    (tmp_path / "linux.tar.xz").write_bytes(archive("xz", {f"linux-4.1.5/{name}": name.encode() for name in names}))
    assert linux_kernel.assemble(tmp_path / "linux.tar.xz") == "".join(order).encode()


def test_the_rest_of_the_kernel_is_ordered_by_the_hash_of_the_name(mirrored):
    mirror = mirrored("linux/linux_kernel_4.1.5.files.tsv")
    with (mirror / "linux" / "linux_kernel_4.1.5.files.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    names = [row["path"] for row in rows]
    assert linux_kernel.order(reversed(names)) == names
    assert sum(int(row["bytes"]) for row in rows) == datasets.build("linux_kernel").files[0].size


# Of the real files, where a mirror holds them.


@pytest.mark.parametrize(
    "choice",
    [name for name in FETCHED if issubclass(datasets.registry[name], Text | Sequences)]
    + ["warpeace(symbols=83)", "mnist_seq(permuted=True)"],
)
def test_real_files_hold_the_counts_of_the_papers(choice, real):
    dataset = real(choice)
    for split in SPLITS:
        assert len(dataset.splits[split][0]) == dataset.counts[split]
        assert not np.shares_memory(dataset.splits[split][0], dataset.splits[SPLITS[SPLITS.index(split) - 1]][0])
    assert dataset.outputs == dataset.counts["outputs"]
    batch = next(dataset.batches("train", 8, 784))
    assert batch.x.shape[:2] == (784, 8)
    assert 0 <= batch.x.min() < batch.x.max() <= max(1, dataset.inputs - 1)


# Ardakani et al.: units, epochs, steps, batch, rates, from their released code.
PAPER = {
    "ptb_char": (1000, 50, 100, 64, 0.002, 0.002),
    "linux_kernel": (512, 200, 100, 64, 0.002, 0.001),
    "warpeace": (512, 200, 100, 64, 0.002, 0.001),
    "mnist_seq": (100, 200, 784, 100, 0.004, 0.001),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_recipe_has_as_many_epochs_as_the_paper(name):
    hidden, epochs, steps, batch, rate, final_rate = PAPER[name]
    dataset = datasets.build(name)
    recipe = dataset.recipe("paper")
    assert (recipe.hidden, recipe.steps, recipe.batch) == (hidden, steps, batch)
    assert (recipe.rate, recipe.final_rate) == (rate, final_rate)
    segments = dataset.counts["train"] / (steps if dataset.task == "char-lm" else 1)
    assert recipe.updates == epochs * int(segments / batch)


def test_penn_treebank_tests_on_48_of_the_50_symbols(real):
    codes = {split: real("ptb_char").splits[split][0] for split in SPLITS}
    assert [len(np.unique(codes[split])) for split in SPLITS] == [50, 50, 48]
    assert [np.count_nonzero(codes[split] == 0) for split in SPLITS] == [42_068, 3_370, 3_761]  # newlines


def test_the_two_readings_of_war_and_peace_are_one_text(real):
    content = fetch(real("warpeace").files[0]).read_bytes()
    for symbols, text in [(87, content), (83, content.decode().replace("\r", ""))]:
        alphabet = sorted(set(text))
        codes = np.concatenate([real(f"warpeace(symbols={symbols})").splits[split][0] for split in SPLITS])
        assert np.array_equal(codes[::97], [alphabet.index(symbol) for symbol in text[::97]])


@pytest.mark.parametrize("choice", ["warpeace", "warpeace(symbols=83)", "linux_kernel"])
def test_the_alphabet_of_a_text_spells_it(choice, real):
    text = real(choice)
    content = fetch(text.files[0]).read_bytes()
    codes = text.splits["test"][0][:2000]
    spelt = "".join(text.alphabet[code] for code in codes)
    assert len(text.alphabet) == text.outputs
    assert spelt.encode("latin-1") in content.replace(b"\r", b"" if "83" in choice else b"\r")


def test_war_and_peace_has_two_readings_only():
    with pytest.raises(InputError, match="no reading of 84 symbols; known: 83, 87"):
        Warpeace(84)


def test_permuted_pixels_have_one_fixed_order(real):
    plain, permuted = (real(choice).splits for choice in ("mnist_seq", "mnist_seq(permuted=True)"))
    assert np.array_equal(plain["valid"][1], permuted["valid"][1])
    assert not np.array_equal(plain["valid"][0], permuted["valid"][0])
    for split in SPLITS:
        columns = [sorted(x[:200, :, 0].T.tolist()) for x in (plain[split][0], permuted[split][0])]
        assert columns[0] == columns[1]
