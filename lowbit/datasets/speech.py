"""Recordings as frames of features: mel-frequency cepstra and their slopes, computed once and cached on disk."""

import hashlib
import importlib.metadata
import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from lowbit import paths
from lowbit.datasets import cache
from lowbit.registry import InputError

WINDOW_SECONDS = 0.025
HOP_SECONDS = 0.010
BANDS = 40  # mel filters
COEFFICIENTS = 13
LONGEST_SECONDS = 600  # a recording; a packed file may hold far more than its size
SPREAD = 1e-3  # the least standard deviation that is divided by: silence stays near zero

KINDS = {"WAV": "WAV", "WAVEX": "WAV", "NIST": "SPHERE", "FLAC": "FLAC"}  # by the names of soundfile
CODINGS = {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}  # one code a sample

Recordings = dict[str, Callable[[], bytes]]  # functions that return the content of each file, by name
Frames = list[Float[np.ndarray, "_ inputs"]]


def cepstra(title: str, recordings: Recordings, rate_hz: int) -> Frames:
    """Thirteen cepstra and their slopes of each recording, 100 frames a second (davis1980comparison).

    They are cached in a file by the contents of the recordings and the version of librosa (mcfee2015librosa).
    Raises `InputError` for recordings that cannot be read, and without librosa.
    """
    librosa, _ = libraries()
    contents = hashlib.sha256()
    for name, read in recordings.items():
        contents.update(hashlib.sha256(content(name, read)).digest())
    settings = (rate_hz, WINDOW_SECONDS, HOP_SECONDS, BANDS, COEFFICIENTS, librosa.__version__)
    digest = hashlib.sha256(repr((title, contents.hexdigest(), *settings)).encode()).hexdigest()

    def compute() -> dict[str, np.ndarray]:
        parts = [_frames(samples(name, content(name, read), rate_hz), rate_hz) for name, read in recordings.items()]
        return {"lengths": np.array([len(part) for part in parts]), "frames": np.concatenate(parts)}

    arrays = cache.arrays(paths.raw() / "features" / f"{title}-{digest[:16]}.npz", compute)
    return np.split(arrays["frames"], arrays["lengths"].cumsum()[:-1])


def content(name: str, read: Callable[[], bytes]) -> bytes:
    """The content of a recording; raises `InputError` that names it."""
    try:
        return read()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from None


def samples(name: str, content: bytes, rate_hz: int) -> Float[np.ndarray, " time"]:
    """The samples of one channel from -1 to 1; raises `InputError` that names a file of another kind.

    A file that holds fewer samples than its header says is refused; bytes after them are ignored.
    """
    _, soundfile = libraries()
    if content.startswith(b"NIST_1A") and b"shorten" in content[:1024]:
        raise InputError(f"{name} is packed with shorten, which cannot be read; unpack it first, as with sph2pipe")
    most = LONGEST_SECONDS * rate_hz
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            rate, channels = sound.samplerate, sound.channels
            count = header_frames(name, content, sound.format, sound.subtype, sound.frames)
            time = sound.read(min(count, most + 1), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"cannot read {name}: {str(error).rpartition(': ')[2]}") from None
    if len(time) > most:
        raise InputError(f"{name} is longer than {LONGEST_SECONDS} seconds")
    if len(time) < count:
        raise InputError(f"{name} holds {len(time)} of the {count} samples that its header promises")
    if rate != rate_hz or channels != 1 or not count:
        actual = f"{count} samples of {channels} channels at {rate} Hz"
        raise InputError(f"{name} has {actual}, must have one channel at {rate_hz} Hz")
    if not np.isfinite(time).all():
        raise InputError(f"{name} has samples that are no finite numbers")
    return time[:, 0]


def header_frames(name: str, content: bytes, kind: str, coding: str, frames: int) -> int:
    """The samples of each channel by the header; `frames` is the number by soundfile, of FLAC that of the header.

    Raises `InputError` that names the recording for other kinds and codings, and for a header without a number.
    """
    if kind not in KINDS or (kind != "FLAC" and coding not in CODINGS):
        raise InputError(f"{name} is {kind} {coding}, must be uncompressed WAV or SPHERE, or FLAC")
    try:
        return frames if kind == "FLAC" else (_sphere if kind == "NIST" else _wave)(content)
    except (ValueError, KeyError, ZeroDivisionError):
        raise InputError(f"cannot read {name}: the header of {KINDS[kind]} does not say how many samples") from None


def _sphere(content: bytes) -> int:
    """From `sample_count -i 1234`, a line of a header whose size is the second line."""
    lines = content[: int(content[8:16])].decode("latin-1").partition("end_head")[0].splitlines()
    fields = {line[0]: line[2] for line in map(str.split, lines) if len(line) == 3}
    if "," in fields.get("sample_coding", "pcm"):
        raise KeyError("sample_coding")  # as in `pcm,embedded-wavpack`
    return int(fields["sample_count"])


def _wave(content: bytes) -> int:
    """From the size of the chunk `data`, over the size of a sample in `fmt `."""
    order = "big" if content.startswith(b"RIFX") else "little"
    at, width = 12, 0
    while at + 8 <= len(content):
        chunk, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], order)
        if chunk == b"fmt ":
            width = int.from_bytes(content[at + 20 : at + 22], order)
        if chunk == b"data":
            return size // width
        at += 8 + size + size % 2
    raise KeyError("data")


def standardized(frames: Float[np.ndarray, "time inputs"]) -> Float[np.ndarray, "time inputs"]:
    """Features with mean 0 and standard deviation 1 over the frames."""
    return (frames - frames.mean(0)) / np.maximum(frames.std(0), SPREAD)


def stacked(frames: Float[np.ndarray, "time inputs"], count: int) -> Float[np.ndarray, "fewer more"]:
    """Every `count` frames as one; a rest is dropped."""
    steps = len(frames) // count
    return frames[: steps * count].reshape(steps, -1)


def facts(dataset) -> dict[str, str | float]:
    """Method of a dataset whose features librosa computes: its version."""
    return {"librosa": importlib.metadata.version("librosa")}


def libraries() -> tuple:
    """Librosa and soundfile; raises `InputError` without them."""
    try:
        import librosa
        import soundfile
    except ImportError:
        raise InputError("recordings need librosa and soundfile: pip install 'lowbit[audio]'") from None
    return librosa, soundfile


def _frames(samples: Float[np.ndarray, " time"], rate_hz: int) -> Float[np.ndarray, "frames inputs"]:
    librosa, _ = libraries()
    window = round(WINDOW_SECONDS * rate_hz)
    static = librosa.feature.mfcc(
        y=samples,
        sr=rate_hz,
        n_mfcc=COEFFICIENTS,
        n_mels=BANDS,
        win_length=window,
        n_fft=1 << (window - 1).bit_length(),
        hop_length=round(HOP_SECONDS * rate_hz),
    )
    return np.concatenate((static, librosa.feature.delta(static, mode="nearest"))).T.astype(np.float32)
