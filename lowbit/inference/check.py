"""Checks of a packed model before anything runs it: its checksum only shows that the file is as it was written."""

from pathlib import Path

import numpy as np

from lowbit.inference import file
from lowbit.quantizers import packing
from lowbit.registry import InputError

GATES = {"gru": 3, "lstm": 4, "lstm(normalize_cell=True)": 4, "rnn": 1}  # of each cell that has a packed form
KINDS = {"cell": str, "layers": int, "units": int, "inputs": int, "outputs": int, "symbols": bool, "alphabet": str}
NAMES = ("dataset", "cell", "quantizer")  # entries of a spec that exported files quote
LETTERS = 1000  # of an entry of a spec, at most
LARGEST = 2**31  # of sizes, and of numbers: no product of a few of them leaves float32
FORMS = ("8", "12", "c8", "c12")  # with shifts of their own: packed models and C, by bits of activations
LEVELS = 2**16  # of a codebook


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays and description of a packed model; raises `InputError` for a file that is damaged or contradicts itself.

    Every array is there, has the shape and the type that the description demands, and holds finite numbers; every
    code has a level.
    """
    arrays, about = file.read(Path(path))
    model(arrays, about)
    return arrays, about


def model(arrays: dict[str, np.ndarray], about: dict) -> None:
    """Raises `InputError`, which names the array or the entry, for what is no packed model."""
    _description(about)
    checked = Arrays(arrays)
    units, symbols = about["units"], about["symbols"]
    rows, width, slots = GATES[about["cell"]] * units, about["inputs"], None
    if symbols and file.has("embedding", arrays):
        width = checked.matrix("embedding", width, None)
    tables = dict.fromkeys(("scale_x", "shift_x", "scale_h"), rows)
    tables |= {"shift_h": rows} if about["cell"] == "gru" else {}
    tables |= {"scale_c": units, "shift_c": units} if "normalize_cell" in about["cell"] else {}
    for n in range(about["layers"]):
        layer = f"layers.{n}."
        for name, size in tables.items():
            slots = checked.floats(layer + name, slots, size)[0]
            for form in FORMS if name in file.SHIFTS else ():
                if f"{layer}{name}.{form}" in arrays:
                    checked.floats(f"{layer}{name}.{form}", slots, size)
        checked.matrix(f"{layer}input", rows, width)
        checked.matrix(f"{layer}recurrent", rows, units)
        if f"{layer}first" in arrays:
            checked.floats(f"{layer}first", 1 + about["cell"].startswith("lstm"), units)
        width = units
    checked.matrix("readout.weight", about["outputs"], units)
    checked.floats("readout.bias", about["outputs"])
    for name in sorted(checked.rest):
        raise InputError(f"no packed model: array {name!r} belongs to no part of it")


class Arrays:
    """Arrays that are checked one after the other; `rest` are the names of those that were not."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays, self.rest = arrays, set(arrays)

    def array(self, name: str, kind: type, *shape: int | None) -> np.ndarray:
        """An array of this type and shape, where None is any size from 1."""
        if name not in self.arrays:
            raise InputError(f"no packed model: array {name!r} is missing")
        array = self.arrays[name]
        self.rest.discard(name)
        fits = len(array.shape) == len(shape) and all(
            size > 0 and required in (None, size) for size, required in zip(array.shape, shape, strict=True)
        )
        if array.dtype != kind or not fits:
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            raise InputError(
                f"no packed model: array {name!r} is {array.dtype} of shape {array.shape}, "
                f"must be {np.dtype(kind)} of shape ({sizes})"
            )
        return array

    def floats(self, name: str, *shape: int | None) -> tuple[int, ...]:
        """The shape of an array of real numbers, each finite and at most `LARGEST`."""
        array = self.array(name, np.float32, *shape)
        if not (array.min() >= -LARGEST and array.max() <= LARGEST):  # false for NaN
            raise InputError(f"no packed model: array {name!r} holds what is no number up to {LARGEST}")
        return array.shape

    def matrix(self, name: str, rows: int, cols: int | None) -> int:
        """The columns of a matrix, each of whose codes has a level."""
        if name in self.arrays:
            return self.floats(name, rows, cols)[1]
        high, wide = self.array(f"{name}.shape", np.int64, 2).tolist()
        if high != rows or (wide != cols if cols else not 0 < wide < LARGEST):
            raise InputError(
                f"no packed model: {name!r} has {high} x {wide} weights, must have {rows} x {cols or 'any'}"
            )
        blocks, levels = self.floats(f"{name}.book", None, None)
        book = self.arrays[f"{name}.book"]
        if rows % blocks or not 2 <= levels <= LEVELS or (book[:, 1:] < book[:, :-1]).any():
            raise InputError(f"no packed model: {name}.book has no 2 to {LEVELS} ascending levels for blocks of rows")
        codes = self.array(f"{name}.codes", np.uint8, size(rows * wide, levels))
        if levels > packing.WIDE:
            fits = int(packing.unpack(codes, levels, (rows * wide,)).max()) < levels
        else:
            fits = int(codes.max()) < levels ** packing.per_byte(levels)
        if not fits:
            raise InputError(f"no packed model: array '{name}.codes' has codes past the last of {levels} levels")
        return wide


def size(count: int, levels: int) -> int:
    """Bytes of so many codes.

    >>> size(9, 3), size(9, 300)
    (2, 11)
    """
    if levels > packing.WIDE:
        return count + size(count, -(-levels // packing.WIDE))
    return -(-count // packing.per_byte(levels))


def _description(about: dict) -> None:
    for name, kind in KINDS.items():
        if type(about.get(name)) is not kind:
            raise InputError(f"no packed model: its {name!r} is {about.get(name)!r:.80}, must be {kind.__name__}")
        if kind is int and not 0 < about[name] < LARGEST:
            raise InputError(f"no packed model: its {name!r} counts from 1 to {LARGEST - 1}, not {about[name]}")
    if about["cell"] not in GATES:
        raise InputError(f"no packed model: cell {about['cell']!r:.80} has no such form; known: {', '.join(GATES)}")
    letters, outputs = len(about["alphabet"]), about["outputs"]
    if letters > outputs or (about["symbols"] and letters not in (0, outputs)):
        raise InputError(f"no packed model: its alphabet has {letters} letters for {outputs} outputs")
    spec = about.get("spec")
    if not isinstance(spec, dict) or not all(isinstance(spec.get(name), str) for name in NAMES):
        raise InputError(f"no packed model: its 'spec' does not name {', '.join(NAMES)}")
    for name, value in spec.items():
        if not isinstance(value, int) and not (
            isinstance(value, str) and len(value) <= LETTERS and value.isprintable()
        ):
            raise InputError(f"no packed model: {name!r:.80} of its spec is {value!r:.80}, no text or whole number")
    largest = about.get("input_range", 1.0)
    if not isinstance(largest, float) or not 0 < largest <= LARGEST:
        raise InputError(f"no packed model: its 'input_range' is {largest!r:.80}, must be a number up to {LARGEST}")
