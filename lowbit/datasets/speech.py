"""Recordings as frames of features: mel-frequency cepstra and their slopes, computed once and kept on disk."""

import hashlib
import importlib.metadata
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lowbit import paths
from lowbit.datasets.recordings import promised
from lowbit.registry import InputError

WINDOW_SECONDS = 0.025
HOP_SECONDS = 0.010
BANDS = 40  # mel filters
COEFFICIENTS = 13
LONGEST_SECONDS = 600  # a recording; a packed file may hold far more than its size
SPREAD = 1e-3  # the least standard deviation that is divided by: silence stays near zero

Recordings = dict[str, Callable[[], bytes]]  # what gives the content of each file, by name
Frames = list[Float[np.ndarray, "_ inputs"]]


def cepstra(title: str, recordings: Recordings, rate_hz: int, source: str) -> Frames:
    """Thirteen cepstra and their slopes of each recording, 100 frames a second (davis1980comparison).

    They are kept in a file for each `source`, a checksum of the content of the recordings, and each version of
    librosa (mcfee2015librosa). Raises `InputError` for recordings that cannot be read, and without librosa.
    """
    librosa, _ = libraries()
    told = (title, source, rate_hz, WINDOW_SECONDS, HOP_SECONDS, BANDS, COEFFICIENTS, librosa.__version__)
    digest = hashlib.sha256(repr(told).encode()).hexdigest()
    path = paths.raw() / "features" / f"{title}-{digest[:16]}.npz"
    try:
        with np.load(io.BytesIO(path.read_bytes())) as kept:
            lengths, frames = kept["lengths"], kept["frames"]
        if len(lengths) != len(recordings) or lengths.sum() != len(frames):
            raise ValueError("features of other recordings")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there, or spoilt: once more
        made = [_frames(samples(name, content(name, read), rate_hz), rate_hz) for name, read in recordings.items()]
        lengths, frames = np.array([len(part) for part in made]), np.concatenate(made)
        _keep(path, lengths=lengths, frames=frames)
    return np.split(frames, lengths.cumsum()[:-1])


def fingerprint(recordings: Recordings) -> str:
    """sha256 over the contents of the recordings in their order; raises `InputError`."""
    total = hashlib.sha256()
    for name, read in recordings.items():
        total.update(hashlib.sha256(content(name, read)).digest())
    return total.hexdigest()


def content(name: str, read: Callable[[], bytes]) -> bytes:
    """The content of a recording; raises `InputError` that names it."""
    try:
        return read()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from None


def samples(name: str, content: bytes, rate_hz: int) -> Float[np.ndarray, " time"]:
    """The samples of one channel from -1 to 1; raises `InputError` that names the file where it is not such.

    A file whose header promises more than it holds is refused; of one that holds more, the rest is no sound.
    """
    _, soundfile = libraries()
    if content.startswith(b"NIST_1A") and b"shorten" in content[:1024]:
        raise InputError(f"{name} is packed with shorten, which cannot be read; unpack it first, as with sph2pipe")
    most = LONGEST_SECONDS * rate_hz
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            rate, channels = sound.samplerate, sound.channels
            count = promised(name, content, sound.format, sound.subtype, sound.frames)
            found = sound.read(min(count, most + 1), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"cannot read {name}: {str(error).rpartition(': ')[2]}") from None
    if len(found) > most:
        raise InputError(f"{name} is longer than {LONGEST_SECONDS} seconds")
    if len(found) < count:
        raise InputError(f"{name} holds {len(found)} of the {count} samples that its header promises")
    if rate != rate_hz or channels != 1 or not count:
        told = f"{count} samples of {channels} channels at {rate} Hz"
        raise InputError(f"{name} has {told}, must have one channel at {rate_hz} Hz")
    if not np.isfinite(found).all():
        raise InputError(f"{name} has samples that are no finite numbers")
    return found[:, 0]


def standardized(frames: Float[np.ndarray, "time inputs"]) -> Float[np.ndarray, "time inputs"]:
    """Features with mean 0 and standard deviation 1 over the frames."""
    return (frames - frames.mean(0)) / np.maximum(frames.std(0), SPREAD)


def stacked(frames: Float[np.ndarray, "time inputs"], count: int) -> Float[np.ndarray, "fewer more"]:
    """Every `count` frames as one; a rest is dropped."""
    steps = len(frames) // count
    return frames[: steps * count].reshape(steps, -1)


def versions() -> dict[str, str]:
    """What the features depend on besides the recordings."""
    return {"librosa": importlib.metadata.version("librosa")}


def libraries() -> tuple:
    """Librosa and soundfile; raises `InputError` without them."""
    try:
        import librosa
        import soundfile
    except ImportError:
        raise InputError("recordings need librosa and soundfile: pip install 'lowbit[audio]'") from None
    return librosa, soundfile


def _frames(heard: Float[np.ndarray, " time"], rate_hz: int) -> Float[np.ndarray, "frames inputs"]:
    librosa, _ = libraries()
    window = round(WINDOW_SECONDS * rate_hz)
    static = librosa.feature.mfcc(
        y=heard,
        sr=rate_hz,
        n_mfcc=COEFFICIENTS,
        n_mels=BANDS,
        win_length=window,
        n_fft=1 << (window - 1).bit_length(),
        hop_length=round(HOP_SECONDS * rate_hz),
    )
    return np.concatenate((static, librosa.feature.delta(static, mode="nearest"))).T.astype(np.float32)


def _keep(path: Path, **arrays: np.ndarray) -> None:
    """Writes under another name first, so that `path` never holds a part; raises `InputError`."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.getvalue())
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; LOWBIT_DATA may name another folder") from None
