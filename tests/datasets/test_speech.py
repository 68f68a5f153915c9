"""Laws of sequences of different lengths, of features of recordings, and of the speech datasets."""

import dataclasses
import io
import itertools
import json
import sys
import tarfile
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import datasets, quantizers
from lowbit.datasets import an4, archives, fsdd, speech, tidigits, varied, wsj
from lowbit.datasets.base import SPLITS
from lowbit.datasets.download import fetch
from lowbit.datasets.recipe import Recipe
from lowbit.datasets.varied import Classified, Transcribed
from lowbit.layers import cells, networks
from lowbit.layers.recurrent import Design
from lowbit.registry import InputError
from lowbit.training import evaluate

SPOKEN = [name for name in datasets.names() if issubclass(datasets.registry[name], varied.Varied)]
pytestmark = pytest.mark.usefixtures("raw")
unhurried = settings(deadline=None, max_examples=30)


def lengths_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 30, count)


@dataclasses.dataclass(frozen=True)
class Numbered(Classified):
    """Sequences whose frames count up through the split, and whose class is their index."""

    title: ClassVar[str] = "Numbered"
    count: int = 10

    def read(self):
        lengths = lengths_of(self.count)
        frames = np.arange(1, 1 + lengths.sum(), dtype=np.float32)[:, None].repeat(3, 1)
        return {split: (lengths, frames, np.arange(self.count)) for split in SPLITS}


@dataclasses.dataclass(frozen=True)
class Lettered(Transcribed):
    """Random frames, labelled with letters of the alphabet."""

    title: ClassVar[str] = "Lettered"
    alphabet: ClassVar[str] = " abcd"

    def read(self):
        rng = np.random.default_rng(0)
        texts = ["".join(rng.choice(list(" abcd"), size)) for size in rng.integers(1, 6, 40)]
        frames = [rng.normal(size=(2 * len(text) + size, 3)).astype("f") for size, text in enumerate(texts)]
        return {split: self.arrays(texts, frames, texts) for split in SPLITS}


def refused(name, match) -> str:
    """Returns the error, in one line, of a dataset that cannot be read."""
    with pytest.raises(InputError, match=match) as caught:
        _ = datasets.build(name).splits
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unreadable(name, content, match=None) -> str:
    """Returns the error, in one line, of a recording at 8000 Hz that cannot be read."""
    with pytest.raises(InputError, match=match or name) as caught:
        speech.samples(name, content, 8000)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Of sequences of different lengths.


def sequences(batches, expected: np.ndarray):
    """Returns the index of each sequence in the batches; each is whole, padded with zeros, and has its length."""
    starts = expected.cumsum() - expected
    for batch in batches:
        assert batch.fresh
        assert len(batch.x) == batch.lengths.max()
        for i, (number, length) in enumerate(zip(batch.y.tolist(), batch.lengths.tolist(), strict=True)):
            assert length == expected[number]
            frames = torch.arange(1, 1 + length) + starts[number]
            assert torch.equal(batch.x[:length, i], frames[:, None].float().expand(-1, 3))
            assert not batch.x[length:, i].any()
            yield number


@unhurried
@given(batch=st.integers(1, 9), count=st.integers(1, 60), limit=st.integers(0, 70), seed=st.integers(0, 99))
def test_every_sequence_occurs_once_and_whole_with_its_length_and_target(batch, count, limit, seed):
    dataset, used = Numbered(count), min(limit or count, count)
    shuffled = dataset.batches("train", batch, 5, torch.Generator().manual_seed(seed), limit)
    for way in (dataset.batches, dataset.streams):
        assert list(sequences(way("train", batch, 5, limit=limit), lengths_of(count))) == list(range(used))
    assert list(sequences(dataset.alone("test", limit), lengths_of(count))) == list(range(used))
    tested = dataset.batches("test", batch, 5, torch.Generator().manual_seed(seed), limit)
    assert sorted(sequences(tested, lengths_of(count))) == list(range(used))
    numbers = list(sequences(shuffled, lengths_of(count)))
    assert len(numbers) == (used - used % batch or used)
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < used


def test_the_order_depends_on_the_generator_alone():
    def draw(seed):
        torch.manual_seed(seed + 1)
        parts = Numbered(80).batches("train", 4, 5, torch.Generator().manual_seed(seed))
        return [part.y.tolist() for part in parts]

    assert draw(3) == draw(3) != draw(4)


@pytest.mark.parametrize("groups", [1, 3])
def test_batches_of_shuffled_sequences_have_similar_lengths(groups):
    batch, lengths = 4, torch.from_numpy(lengths_of(groups * varied.GROUP * 4))
    parts = list(varied.shuffled(lengths, batch, torch.Generator().manual_seed(0), "train"))
    spans = sorted((int(lengths[part].min()), int(lengths[part].max())) for part in parts)
    crossings = sum(later < end for (_, end), (later, _) in itertools.pairwise(spans))
    assert crossings == 0 if groups == 1 else crossings > 0  # groups are drawn at random, each sorted by itself
    padded = sum(int(lengths[part].max()) * batch for part in parts)
    assert padded < 1.2 * int(lengths.sum())


@pytest.mark.parametrize("norm", ["none", "batch", "batch_step", "layer"])
def test_padding_changes_nothing_in_deployed_scores(norm, monkeypatch):
    torch.manual_seed(0)
    data = Lettered()
    recipe = Recipe(hidden=8, updates=1, layers=2, bidirectional=True, batch=8, steps=6)
    design = Design(cells.build("gru"), quantizers.build("ternary"), norm)
    network = networks.registry["ctc"](data.inputs, data.outputs, recipe, design)
    monkeypatch.setattr(Lettered, "metric", data.loss)  # a decoded labelling would hide small differences
    monkeypatch.setattr(Lettered, "further", ())
    together = evaluate.deployed(network, data, recipe)
    monkeypatch.setattr(varied, "ALONE", 1)
    assert evaluate.deployed(network, data, recipe) == pytest.approx(together, rel=1e-5)


def test_the_nearest_thirds_baseline_predicts_a_class_that_depends_on_thirds():
    class Rising(Classified):
        title = "Rising"

        def read(self):
            y = np.arange(12) % 2
            frames = np.concatenate([np.linspace(0, 1 - 2 * k, 9, dtype="f")[:, None] for k in y])
            return {split: (np.full(12, 9), frames, y) for split in SPLITS}

    assert Rising().baselines() == {"most frequent": 50.0, "nearest thirds": 0.0}


def test_labels_spell_the_text_and_padding_is_none():
    texts = [
        ["".join(Lettered.alphabet[label - 1] for label in row if label > 0) for row in part.y.tolist()]
        for part in Lettered().alone("test")
    ]
    labels, counts = Lettered().splits["test"][2:]
    whole = "".join(Lettered.alphabet[label - 1] for label in labels)
    assert "".join(itertools.chain(*texts)) == whole
    assert [len(text) for text in itertools.chain(*texts)] == counts.tolist()
    assert Lettered().outputs == 6


def test_the_baselines_are_an_empty_transcript_and_the_most_frequent_one():
    @dataclasses.dataclass(frozen=True)
    class Short(Transcribed):
        title = "Short"
        alphabet = " abcd"

        def read(self):
            return {
                split: self.arrays(texts, [np.zeros((9, 1), "f")] * len(texts), texts)
                for split, texts in [("train", ["ab", "cd", "ab"]), ("valid", ["a"]), ("test", ["ab", "abc", "d"])]
            }

    assert Short().baselines() == {"nothing": 100.0, "commonest utterance": pytest.approx(100 * (0 + 1 + 2) / 6)}


def test_an_utterance_too_short_for_its_labels_is_refused():
    frames = [np.zeros((3, 1), "f")]
    assert Lettered().arrays(["one"], frames, ["aba"])[0] == [3]
    with pytest.raises(InputError, match="Lettered: one has 3 frames, its labels need 4"):
        Lettered().arrays(["one"], frames, ["abb"])


def test_a_symbol_outside_the_alphabet_is_refused():
    with pytest.raises(InputError, match="Lettered: 'x' in 'abx' is none of ' abcd'"):
        Lettered().labels("abx")


# Of features.


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(0).normal(size=time.size)
    return (0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * noise).astype("f")


def wave(samples: np.ndarray, rate: int, form: str = "WAV", coding: str = "PCM_16") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=form, subtype=coding)
    return content.getvalue()


def test_features_have_a_hundred_frames_a_second():
    (frames,) = speech.cepstra("t", {"a": lambda: wave(tone(8000, 0.7), 8000)}, 8000)
    assert frames.shape == (71, 26)
    assert frames.dtype == np.float32


def test_loudness_changes_the_first_cepstrum_alone():
    sounds = {"soft": lambda: wave(tone(8000, 0.5), 8000), "loud": lambda: wave(3 * tone(8000, 0.5), 8000)}
    soft, loud = speech.cepstra("t", sounds, 8000)
    # Ten thirds of a decibel a factor of e^(10/3 / 10 ln 10); over 40 bands the first cepstrum takes sqrt(40) of it.
    np.testing.assert_allclose((loud - soft)[:, 0], 20 * np.log10(3) * np.sqrt(40), rtol=0.02)
    np.testing.assert_allclose((loud - soft)[:, 1:13], 0, atol=2)


@pytest.fixture
def computed(monkeypatch):
    """The recordings whose features are computed."""
    calls, compute = [], speech._frames
    monkeypatch.setattr(speech, "_frames", lambda *args: calls.append(1) or compute(*args))
    return calls


def test_features_are_computed_once_per_content_and_again_when_damaged(raw, computed):
    sounds = [{"a": lambda hertz=hertz: wave(tone(8000, 0.3, hertz), 8000)} for hertz in (440, 441)]
    (first,) = speech.cepstra("t", sounds[0], 8000)
    (second,) = speech.cepstra("t", sounds[0], 8000)
    assert len(computed) == 1
    np.testing.assert_array_equal(first, second)
    speech.cepstra("t", sounds[1], 8000)
    assert len(computed) == 2
    for file in (raw / "features").glob("t-*"):
        file.write_bytes(file.read_bytes()[:100])
    (third,) = speech.cepstra("t", sounds[0], 8000)
    assert len(computed) == 3
    np.testing.assert_array_equal(first, third)


def test_standardized_features_have_zero_mean_and_silence_stays_finite():
    frames = speech.standardized(np.random.default_rng(0).normal(3, 5, (50, 2)))
    np.testing.assert_allclose(frames.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(frames.std(0), 1)
    assert not speech.standardized(np.ones((4, 2))).any()


def test_stacked_frames_keep_their_order():
    frames = np.arange(14.0).reshape(7, 2)
    np.testing.assert_array_equal(speech.stacked(frames, 3), np.arange(12.0).reshape(2, 6))


def sphere(samples: np.ndarray, rate: int, coding: str = "pcm") -> bytes:
    """Returns a recording in NIST's SPHERE format: a header of 1024 bytes, then little-endian samples."""
    fields = [
        *(f"sample_count -i {len(samples)}", f"sample_rate -i {rate}", "channel_count -i 1"),
        *("sample_n_bytes -i 2", "sample_byte_format -s2 01", "sample_sig_bits -i 16"),
        *(f"sample_coding -s{len(coding)} {coding}", "end_head"),
    ]
    head = "\n".join(["NIST_1A", "   1024", *fields, ""]).encode()
    return head.ljust(1024) + (samples * 32767).astype("<i2").tobytes()


def test_sphere_files_hold_the_samples():
    samples = tone(20_000, 0.05)
    np.testing.assert_allclose(speech.samples("a", sphere(samples, 20_000), 20_000), samples, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"RIFFnothing of a wave", "cannot read a.wav: .+"),
        (b"", "cannot read a.wav: .+"),
        (sphere(np.zeros(9), 8000, "pcm,embedded-shorten-v2.00"), "a.wav is packed with shorten, .* sph2pipe"),
        (wave(np.zeros(9), 16_000), "a.wav has 9 samples of 1 channels at 16000 Hz, must have one channel at 8000 Hz"),
        (wave(np.zeros((9, 2)), 8000), "a.wav has 9 samples of 2 channels"),
        (wave(np.zeros(0), 8000), "a.wav has 0 samples"),
    ],
)
def test_the_error_of_an_unusable_recording_names_it(content, error):
    unreadable("a.wav", content, error)


FORMS = {
    "wav": lambda samples: wave(samples, 8000),
    "flac": lambda samples: wave(samples, 8000, "FLAC"),
    "sphere": lambda samples: sphere(samples, 8000),
}


@pytest.mark.parametrize("form", FORMS)
@unhurried
@given(more=st.data())
def test_the_error_of_a_truncated_recording_names_it(form, more):
    content = FORMS[form](tone(8000, 0.05))
    assert len(speech.samples("a", content, 8000)) == 400
    cut = more.draw(st.integers(0, len(content) - 1))
    unreadable("cut/u0", content[:cut])


@pytest.mark.parametrize("form", FORMS)
def test_bytes_after_the_samples_of_a_header_are_ignored(form):
    content, samples = FORMS[form](tone(8000, 0.05)), speech.samples("a", FORMS[form](tone(8000, 0.05)), 8000)
    np.testing.assert_array_equal(speech.samples("a", content + bytes(1000), 8000), samples)


HEADERS = {
    "more samples than the file": (b"sample_count -i 400", b"sample_count -i 401", "holds 400 of the 401 samples"),
    "no count": (b"sample_count", b"simple_count", "does not say how many samples"),
    "a header beyond the file": (b"   1024\n", b" 999999\n", "a.sph"),
    "no size of a header": (b"   1024\n", b"   many\n", "a.sph"),
    "another packing": (b"-s3 pcm\n", b"-s28 pcm,embedded-wavpack-v1.0.0\n", "a.sph"),
    "another rate": (b"sample_rate -i 8000", b"sample_rate -i 9000", "at 9000 Hz, must have one channel at 8000"),
    "two channels": (b"channel_count -i 1", b"channel_count -i 2", "a.sph holds 200 of the 400 samples"),
}


@pytest.mark.parametrize(("old", "new", "error"), HEADERS.values(), ids=HEADERS)
def test_the_error_of_a_wrong_header_names_the_file(old, new, error):
    content = sphere(tone(8000, 0.05), 8000)
    head = content[:1024].replace(old, new)[:1024].ljust(1024)
    assert head != content[:1024]
    assert error in unreadable("a.sph", head + content[1024:])


def test_the_error_of_wrong_chunk_sizes_names_the_file():
    content = wave(tone(8000, 0.05), 8000)
    at = content.index(b"data") + 4
    for size, error in [(0xFFFFFFFF, "holds 400 of the"), (0, "has 0 samples"), (802, "holds 400 of the 401")]:
        unreadable("a.wav", content[:at] + size.to_bytes(4, "little") + content[at + 4 :], f"a.wav {error}")


@pytest.mark.parametrize(
    ("form", "coding"),
    [("AIFF", "PCM_16"), ("AU", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "MS_ADPCM"), ("RF64", "PCM_16")],
)
def test_the_error_of_an_unsupported_recording_names_it(form, coding):
    content = wave(tone(8000, 0.5), 8000, form, coding)
    unreadable("a.snd", content, f"a.snd is {form} {coding}, must be uncompressed WAV or SPHERE, or FLAC")


def test_the_error_of_a_recording_that_is_too_long_or_not_finite_names_it():
    unreadable("a.flac", wave(np.zeros(601 * 8000), 8000, "FLAC"), "a.flac is longer than 600 seconds")
    content = wave(np.array([0.0, np.nan]), 8000, coding="FLOAT")
    unreadable("a.wav", content, "a.wav has samples that are no finite numbers")


def test_features_of_changed_recordings_are_computed_again(raw):
    sounds = {name: lambda: wave(tone(8000, 0.3), 8000) for name in "ab"}
    speech.cepstra("t", sounds, 8000)
    assert len(speech.cepstra("t", sounds | {"c": sounds["a"]}, 8000)) == 3


@pytest.mark.parametrize("package", ["librosa", "soundfile"])
def test_recordings_without_the_audio_packages_say_what_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"need librosa and soundfile: pip install 'lowbit\[audio\]'"):
        speech.cepstra("t", {}, 8000)


# Of the sets.


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Replaces the download of a module by a tar file; features of the real recordings are not read."""
    monkeypatch.setenv("LOWBIT_DATA", str(tmp_path))

    def put(module, contents: dict[str, bytes]):
        path = tmp_path / "bare.tar"
        path.write_bytes(archives.pack(contents))
        monkeypatch.setattr(module, "fetch", lambda file: path)

    return put


def test_a_tar_file_depends_on_names_and_contents_alone():
    contents = {"b/c": b"two", "a": b"one"}
    packed = archives.pack(contents)
    assert packed == archives.pack(dict(reversed(contents.items())))
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        assert {entry.name: opened.extractfile(entry).read() for entry in opened} == contents


def test_digits_are_read_from_file_names_and_speakers_are_in_one_split(bare):
    speakers = [speaker for part in fsdd.SPEAKERS.values() for speaker in part]
    names = [f"recordings/{digit}_{who}_{n}.wav" for digit in (3, 7) for who in speakers for n in (0, 4, 5, 9, 10, 49)]
    bare(fsdd, {name: wave(tone(8000, 0.1 + 0.01 * i), 8000) for i, name in enumerate(names)} | {"README.md": b""})
    official = fsdd.Fsdd().read()
    assert {part: len(arrays[0]) for part, arrays in official.items()} == {"train": 24, "valid": 24, "test": 24}
    apart = fsdd.Fsdd("speaker").read()
    assert {part: len(arrays[0]) for part, arrays in apart.items()} == {"train": 36, "valid": 12, "test": 24}
    numbered = {name: 11 + i for i, name in enumerate(sorted(names, key=names.index))}  # frames by name
    for part, whose in fsdd.SPEAKERS.items():
        chosen = [name for name in sorted(names) if name.split("_")[1] in whose]
        assert apart[part][0].tolist() == [numbered[name] for name in chosen]
        assert apart[part][2].tolist() == [int(name.partition("/")[2][0]) for name in chosen]


def test_the_error_of_an_unreadable_digit_names_the_recording(bare):
    bare(fsdd, {"recordings/0_theo_1.wav": b"nothing"})
    with pytest.raises(InputError, match=r"cannot read recordings/0_theo_1\.wav"):
        fsdd.Fsdd().read()


def test_one_speaker_of_the_digits_has_eight_bit_samples_with_an_offset(real):
    contents = archives.unpack(fetch(real("fsdd").files[0]))
    for speaker in itertools.chain(*fsdd.SPEAKERS.values()):
        sounds = [contents[name] for name in contents if f"_{speaker}_" in name]
        samples = np.concatenate([soundfile.read(io.BytesIO(sound), dtype="int16")[0] for sound in sounds])
        assert len(sounds) == 500
        assert (samples % 256 == 0).all() == (speaker == "nicolas")
        assert (abs(samples.mean()) > 100) == (speaker == "nicolas")


def test_the_digits_have_two_splits_only():
    with pytest.raises(InputError, match="no split 'random'; known: official, speaker"):
        fsdd.Fsdd("random")


@pytest.mark.parametrize("module", [fsdd, an4])
def test_the_repository_gives_the_same_file_as_the_mirror(module, tmp_path, real, archive):
    (file,) = real(module.__name__.rpartition(".")[2]).files
    mirrored = fetch(file)
    contents = archives.unpack(mirrored) | {"other/a.py": b"", "an4/feat/x.txt": b""}
    if module is fsdd:
        speakers = json.loads(contents.pop("speakers.json"))
        contents["metadata.py"] = f'"""Who spoke."""\n\nmetadata = {speakers!r}\n'.encode()
    repository = tmp_path / "repository.zip"
    repository.write_bytes(archive("zip", {f"repository-0123/{name}": contents[name] for name in contents}))
    assert module.assemble(repository) == mirrored.read_bytes()


def test_an4_has_the_published_counts(real):
    data = real("an4")
    splits = data.splits
    labels, counts = (np.concatenate([splits[split][i] for split in ("train", "valid")]) for i in (2, 3))
    assert len(labels) == 17_854  # letters and spaces of the 948 training transcripts
    assert (labels == 1).sum() + len(counts) == 5_442  # words
    assert len(splits["test"][2]) == 2_565
    assert data.inputs == 52


def mfc(frames: np.ndarray) -> bytes:
    return np.array(frames.size, ">i4").tobytes() + frames.astype(">f4").tobytes()


def test_an4_speakers_are_in_one_split_each_and_samples_are_big_endian(bare):
    rng, contents, lists = np.random.default_rng(0), {}, {}
    for part, count in [("train", 20), ("test", 2)]:
        names = [f"an4_{part}/spk{i:02d}/utt{j}-spk{i:02d}-b" for i in range(count) for j in range(2)]
        lists[part] = names
        contents[f"an4/etc/an4_{part}.fileids"] = "\n".join(names).encode()
        texts = "".join(f"GO {'AB'[i % 2]} ({name.split('/')[-1]})\n" for i, name in enumerate(names))
        contents[f"an4/etc/an4_{part}.transcription"] = texts.encode()
        for name in names:
            contents[f"an4/feat/{name}.mfc"] = mfc(rng.normal(7, 2, (20, 13)))
    bare(an4, contents)
    splits = an4.An4().read()
    assert {split: len(arrays[0]) for split, arrays in splits.items()} == {"train": 36, "valid": 4, "test": 4}
    assert set(splits["test"][0]) == {5}  # of twenty frames, four are one step
    content = contents[f"an4/feat/{lists['test'][1]}.mfc"]
    frames = np.frombuffer(content[4:], ">f4").reshape(20, 13)
    expected = ((frames - frames.mean(0)) / frames.std(0)).reshape(5, 52)
    np.testing.assert_allclose(splits["test"][1][5:10], expected, rtol=1e-4, atol=1e-5)
    text = "".join(an4.An4.alphabet[label - 1] for label in splits["test"][2])
    assert text == "GO AGO BGO AGO B"


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A tiny TIDIGITS: two speakers for training, one for the test, and a boy."""
    monkeypatch.setenv(tidigits.FOLDER, str(tmp_path / "tidigits"))
    monkeypatch.setattr(tidigits.Tidigits, "counts", {"train": 3, "valid": 1, "test": 2, "outputs": 12})
    train = ("train/man/bb/1a", "train/man/bb/3oz6b", "train/woman/aa/9a", "train/woman/aa/oa")
    for name in (*train, "test/man/cc/za", "test/woman/dd/77b", "test/boy/ee/1a"):
        put(tmp_path / "tidigits" / f"{name}.wav", sphere(tone(20_000, 0.4), 20_000))
    return tmp_path / "tidigits"


def put(path, content: bytes | str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_tidigits_are_read_from_a_licensed_folder(corpus):
    data = datasets.build("tidigits")
    assert data.outputs == 12
    assert data.inputs == 26
    labels = {
        split: [[data.alphabet[label - 1] for label in row if label > 0] for row in part.y.tolist()]
        for split in SPLITS
        for part in data.alone(split)
    }
    assert labels["train"] == [["9"], ["o"], ["1"]]  # by speaker
    assert labels["valid"] == [list("3oz6")]
    assert labels["test"] == [["z"], ["7", "7"]]


def test_the_error_of_missing_tidigits_names_their_folder(corpus, monkeypatch):
    (corpus / "test" / "man" / "cc" / "za.wav").unlink()
    refused("tidigits", r"TIDIGITS: .*test holds 1 recordings .* must be 2; LOWBIT_TIDIGITS names")
    monkeypatch.delenv(tidigits.FOLDER)
    refused("tidigits", r"tidigits/train holds 0 .* LDC93S10, which needs a licence")


def test_the_error_of_compressed_tidigits_names_them(corpus):
    put(corpus / "test" / "man" / "cc" / "za.wav", sphere(np.zeros(9), 20_000, "pcm,embedded-shorten-v2.00"))
    refused("tidigits", r"test/man/cc/za\.wav is packed with shorten")


@pytest.fixture
def news(tmp_path, monkeypatch):
    """A tiny Wall Street Journal in the format of Kaldi."""
    monkeypatch.setenv(wsj.FOLDER, str(tmp_path / "wsj"))
    monkeypatch.setattr(wsj.Wsj, "counts", {"train": 2, "valid": 1, "test": 1, "outputs": 30})
    for part, texts in [
        ("train_si284", ["MR. O'NEIL <NOISE> *SAID* SO", "well-known"]),
        ("test_dev93", ["YES"]),
        ("test_eval92", ['NO "COMMA']),
    ]:
        folder = tmp_path / "wsj" / part
        put(folder / "text", "".join(f"u{i} {text}\n" for i, text in enumerate(texts)))
        put(folder / "wav.scp", "".join(f"u{i} audio/{i}.wav\n" for i in range(len(texts))))
        for i in range(len(texts)):
            put(folder / "audio" / f"{i}.wav", sphere(tone(16_000, 1.0 + 0.2 * i), 16_000))
    return tmp_path / "wsj"


def test_the_journal_is_read_from_licensed_lists(news):
    data = datasets.build("wsj")
    assert data.splits["train"][0].tolist() == [33, 40]  # of 101 and 121 frames, three are one step
    assert (data.inputs, data.outputs) == (78, 30)
    texts = {split: "".join(data.alphabet[label - 1] for label in data.splits[split][2]) for split in SPLITS}
    assert texts == {"train": "MR. O'NEIL SAID SOWELLKNOWN", "valid": "YES", "test": "NO COMMA"}


def test_the_error_of_a_missing_split_of_the_journal_names_it(news, monkeypatch):
    put(news / "test_eval92" / "wav.scp", "u0 sph2pipe -f wav a.wv1 |\n")
    refused("wsj", r"test_eval92/wav\.scp has a command for u0, must be a file")
    put(news / "test_eval92" / "wav.scp", "u0 audio/9.wav\n")
    refused("wsj", r"no recording audio/9\.wav for u0 of .*test_eval92")
    put(news / "test_eval92" / "text", "u0 NO\nu1 YES\n")
    refused("wsj", r"test_eval92/text has 2 utterances, must be 1")
    monkeypatch.setenv(wsj.FOLDER, str(news / "other"))
    refused("wsj", r"no .*other/train_si284/text; LOWBIT_WSJ names .* need a licence")


def test_recordings_of_the_same_sizes_and_other_content_change_the_digest(corpus, news):
    for name, path, rate_hz in [
        ("tidigits", corpus / "test" / "man" / "cc" / "za.wav", 20_000),
        ("wsj", news / "test_eval92" / "audio" / "0.wav", 16_000),
    ]:
        before = datasets.build(name).digest
        assert datasets.build(name).digest == before
        samples = speech.samples("a", path.read_bytes(), rate_hz)
        put(path, sphere(samples[::-1], rate_hz))
        assert datasets.build(name).digest != before


LISTS = {
    "a name twice": ("text", "u0 NO\nu0 YES\n", "test_eval92/text has u0 twice"),
    "a file twice": ("wav.scp", "u0 audio/0.wav\nu0 audio/0.wav\n", "test_eval92/wav.scp has u0 twice"),
    "nothing said": ("text", "u0 \n", "test_eval92/text has u0 and nothing else"),
    "no file": ("wav.scp", "u0\n", "test_eval92/wav.scp has u0 and nothing else"),
    "another name": ("wav.scp", "u1 audio/0.wav\n", "wav.scp has u1, which"),
    "one more": ("wav.scp", "u0 audio/0.wav\nu1 audio/0.wav\n", "wav.scp has u1, which"),
    "no letter of ours": ("text", "u0 \u041d\u0415\u0422\n", "nothing of u0 of"),
    "a way out": ("wav.scp", "u0 ../../secret.wav\n", "../../secret.wav for u0 of"),
    "a folder": ("wav.scp", "u0 audio\n", "no recording audio for u0"),
    "no UTF-8": ("text", b"u0 CAF\xc9\n", "cannot read"),
}


@pytest.mark.parametrize(("file", "content", "error"), LISTS.values(), ids=LISTS)
def test_the_error_of_an_invalid_list_names_it(news, file, content, error):
    put(news.parent / "secret.wav", sphere(tone(16_000, 1.0), 16_000))
    put(news / "test_eval92" / file, content)
    assert error in refused("wsj", "Wall Street Journal: .*test_eval92")


def test_recordings_and_texts_are_matched_by_name_in_any_order(news):
    before = datasets.build("wsj").digest
    put(news / "train_si284" / "wav.scp", f"u1\t{news / 'train_si284' / 'audio' / '1.wav'}\r\nu0  audio/0.wav\n")
    assert datasets.build("wsj").digest == before


def test_the_error_of_a_truncated_recording_names_its_dataset(corpus, news):
    for name, path in [
        ("tidigits", corpus / "test" / "man" / "cc" / "za.wav"),
        ("wsj", news / "test_eval92" / "audio" / "0.wav"),
    ]:
        put(path, path.read_bytes()[:-2])
        refused(name, rf"{path.name}.* holds \d+ of the \d+ samples")


# Of every registered set of this kind.


@pytest.mark.parametrize("name", SPOKEN)
def test_a_dataset_that_is_downloaded_or_licensed_is_not_local(name):
    dataset = datasets.build(name)
    assert bool(dataset.files) != dataset.bound
    assert name not in datasets.local()


def waveform(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Replaces the cepstra, which take longer."""
    return samples[: len(samples) // 80 * 80].reshape(-1, 80)[:, :26]


@pytest.mark.parametrize("name", [name for name in SPOKEN if datasets.registry[name].files])
def test_real_datasets_have_the_expected_counts_and_batches(name, monkeypatch, real):
    monkeypatch.setattr(speech, "_frames", waveform)
    dataset = real(name)
    for recipe in dataset.recipes.values():
        batch = next(dataset.batches("train", recipe.batch, recipe.steps, torch.Generator().manual_seed(0)))
        assert batch.x.shape[1:] == (recipe.batch, dataset.inputs)
        assert batch.lengths.max() == len(batch.x)
    assert all(array.flags.writeable for split in SPLITS for array in dataset.splits[split])  # else torch warns
    scores = dataset.baselines()
    assert scores
    assert all(score > 0 for score in scores.values())
