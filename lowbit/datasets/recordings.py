"""The number of samples in the header of a recording, which is not always that in the file."""

from lowbit.registry import InputError

KINDS = {"WAV": "WAV", "WAVEX": "WAV", "NIST": "SPHERE", "FLAC": "FLAC"}  # by the names of soundfile
CODINGS = {"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}  # one code a sample


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
