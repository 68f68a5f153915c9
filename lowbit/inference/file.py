"""The packed file: named arrays and a description in one `.safetensors`, with a checksum over both."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from lowbit.inference.grid import Matrix
from lowbit.quantizers import packing
from lowbit.registry import InputError

FORMAT = "lowbit 1"
SHIFTS = ("shift_x", "shift_h", "shift_c")  # of a layer
KINDS = ("F32", "I64", "U8")  # of arrays, as the format names them


def write(file: Path, arrays: dict[str, np.ndarray], about: dict) -> None:
    """Writes under a temporary name, then in place: so half a file never exists; raises `InputError`."""
    safetensors = _safetensors()
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(about, sort_keys=True)
    metadata = {"format": FORMAT, "about": text, "sha256": digest(arrays, text)}
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(_ordered(safetensors.numpy.save(arrays, metadata)))
        os.replace(part, file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {file}: {error.strerror or error}") from error


def read(file: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and description, through a memory map; raises `InputError` for a file that is not as it was written."""
    package = _safetensors()
    if not file.is_file():
        raise InputError(f"no packed model at {file}")
    try:
        with package.safe_open(file, "np") as content:
            metadata = content.metadata() or {}
            kinds = {name: content.get_slice(name).get_dtype() for name in content.keys()}  # noqa: SIM118
            arrays = {name: content.get_tensor(name) for name, kind in kinds.items() if kind in KINDS}
    except (package.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file} is damaged or no packed model: {error}") from error
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise InputError(f"{file} is no packed model: array {name!r} is {kind}; known: {', '.join(KINDS)}")
    if metadata.get("format") != FORMAT:
        raise InputError(f"{file} has format {metadata.get('format')!r:.80}; known: {FORMAT!r}")
    text = metadata.get("about", "")
    if digest(arrays, text) != metadata.get("sha256"):
        raise InputError(f"{file} is damaged: its checksum does not match its content")
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no packed model: its description cannot be read: {error}") from error
    if not isinstance(about, dict):
        raise InputError(f"{file} is no packed model: its description is no table of names")
    return arrays, about


def _ordered(content: bytes) -> bytes:
    """The same file with its metadata sorted by name; safetensors itself writes them in a random order."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def digest(arrays: dict[str, np.ndarray], text: str) -> str:
    """sha256 over the description and all arrays by name."""
    total = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def entries(name: str, matrix: Matrix) -> dict[str, np.ndarray]:
    """A matrix as arrays of the file: its codes in bytes and its levels, or its values where it has no codes."""
    if matrix.codes is None:
        return {name: matrix.book}
    rows, cols = matrix.codes.shape
    return {
        f"{name}.codes": packing.pack(matrix.codes, matrix.book.shape[1]),
        f"{name}.book": matrix.book,
        f"{name}.shape": np.array([rows, cols], np.int64),
    }


def matrix(name: str, arrays: dict[str, np.ndarray]) -> Matrix:
    """The matrix whose arrays `entries` returned."""
    if name in arrays:
        return Matrix(None, arrays[name])
    book = arrays[f"{name}.book"]
    shape = tuple(int(size) for size in arrays[f"{name}.shape"])
    return Matrix(packing.unpack(arrays[f"{name}.codes"], book.shape[1], shape), book)


def has(name: str, arrays: dict[str, np.ndarray]) -> bool:
    """Whether there is a matrix of this name."""
    return name in arrays or f"{name}.codes" in arrays


def layer(n: int, arrays: dict[str, np.ndarray], form: str = "") -> dict[str, np.ndarray]:
    """The arrays of a layer by their names there, with the shifts that correct the rounding of a form, as `c12`."""
    prefix = f"layers.{n}."
    arrays = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return arrays | {name: arrays[f"{name}.{form}"] for name in SHIFTS if f"{name}.{form}" in arrays}


def _safetensors():
    try:
        import safetensors
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise InputError("packed models need safetensors: pip install 'lowbit[inference]'") from error
    return safetensors
