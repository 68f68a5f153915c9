"""A packed model as C for microcontrollers: one header, one source, no heap and no floating point."""

import re
from pathlib import Path

import numpy as np

from lowbit.inference.c_text import CELLS, FEATURES, HEADER, SHARED, SIGMOID, SLOTS, SOURCE, SYMBOLS
from lowbit.inference.fixed import Fixed
from lowbit.inference.matvec.base import affine
from lowbit.inference.whole import MOST, Affine
from lowbit.registry import InputError

# Names of the standard's headers.
TAKEN = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar
wctype"""


def export(path: str | Path, folder: str | Path, name: str = "model", bits: int = 8) -> tuple[Path, Path]:
    """Writes `name.h` and `name.c` of a packed model; raises `InputError` where it has no such form.

    Activations of 12 bits take no more time or memory than those of 8, and are nearer to the network.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,49}", name):
        raise InputError(f"{name!r} is no name in C: letters of ASCII, digits and underscores, at most 50")
    if name.lower() in TAKEN.split():
        raise InputError(f"{name!r} is no name in C for a model: there is a header {name.lower()}.h in its library")
    if type(bits) is not int:
        raise InputError(f"activations of a fixed-point model take 2 to 12 bits, not {bits!r}")
    header, source = written(Fixed(path, bits), name)
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = Path(folder) / f"{name}.h", Path(folder) / f"{name}.c"
    for file, text in zip(files, (header, source), strict=True):
        file.write_text(text)
    return files


def written(fixed: Fixed, name: str) -> tuple[str, str]:
    """The texts of the header and of the source."""
    about, spec = fixed.about, fixed.about["spec"]
    settles = fixed.layers[0].settle is not None
    title = ", ".join(spec[part] for part in ("dataset", "cell", "quantizer"))
    values = {
        "name": name,
        "NAME": name.upper(),
        "title": re.sub(r"[^\w .,=()+-]", "_", title, flags=re.ASCII),  # which ends no comment
        **{size: about[size] for size in ("inputs", "outputs", "units", "layers")},
        "data": _data(fixed, settles),
        "tanh": ", ".join(map(str, fixed.tanh)),
        "extra": "" if fixed.cell == "rnn" else SIGMOID,
        "most": MOST,
        "drop": 16 - fixed.bits,
        "top": fixed.top,
        "gates": {"rnn": 1, "gru": 3, "lstm": 4}[fixed.cell],
        "fraction": fixed.fraction,
        "widest": 2 ** (fixed.widest - 1) - 1 if fixed.widest else 0,
        "last": fixed.slots - 1,
    }
    parts = (SYMBOLS if about["symbols"] else FEATURES) | (SLOTS if fixed.slots > 1 else SHARED)
    values |= {part: text.format(**values) for part, text in parts.items()}
    settled = "rounded((int64_t)c[j] * settle[n][slot][0][j], 20) + settle[n][slot][1][j]"
    cell = CELLS[fixed.cell].replace("{settled}", settled if settles else "rounded(c[j], 4)")
    return HEADER.format(**values), SOURCE.format(**values, cell=cell)


def _data(fixed: Fixed, settles: bool) -> str:
    texts, entries = [], {"inputs": [], "recurrent": []}
    for n, layer in enumerate(fixed.layers):
        for part, product in (("inputs", layer.x), ("recurrent", layer.h)):
            arrays, entry = _affine(f"{part}{n}", product)
            texts.append(arrays)
            entries[part].append(entry)
    tables = _tables("readout", fixed.readout)
    texts += [
        f"static const int16_t readout_weights[][{fixed.about['units']}] = {_nested(fixed.readout.whole)};",
        tables,
    ]
    texts.append(
        f"static const affine readout = {{0, readout_factor, readout_shift, 0, 0, 1, 0, {fixed.readout.bits}}};"
    )
    texts += [f"static const affine {part}[] = {{{', '.join(rows)}}};" for part, rows in entries.items()]
    if settles:
        nested = _nested(np.array([np.stack(layer.settle, axis=1) for layer in fixed.layers]))
        sizes = f"[][{fixed.slots}][2][{fixed.about['units']}]"
        texts.append(f"static const int32_t settle{sizes} = {nested};")
    return "\n".join(texts)


def _nested(values: np.ndarray) -> str:
    rows = map(_nested, values) if values.ndim > 1 else map(str, values.tolist())
    return f"{{{','.join(rows)}}}"


def _affine(name: str, product: Affine) -> tuple[str, str]:
    step, base, top = affine(product.levels)
    bits = 1 if top < 2 else 2 if top < 4 else 4 if top < 16 else 8
    codes = ((product.whole.astype(np.int16) - base) // step).astype(np.uint8)
    count = 8 // bits
    codes = np.pad(codes, ((0, 0), (0, -codes.shape[1] % count))).reshape(len(codes), -1, count)
    packed = (codes << (bits * np.arange(count, dtype=np.uint8))).sum(2, dtype=np.uint8)
    text = f"static const uint8_t {name}_codes[] = {_nested(packed.ravel())};\n{_tables(name, product)}"
    sizes = f"{product.whole.shape[1]}, {bits}, {step}, {base}, {product.bits}"
    return text, f"{{{name}_codes, {name}_factor, {name}_shift, {sizes}}}"


def _tables(name: str, product: Affine) -> str:
    rows = (("factor", product.factor), ("shift", product.shift))
    return "\n".join(f"static const int32_t {name}_{part}[] = {_nested(row.ravel())};" for part, row in rows)
