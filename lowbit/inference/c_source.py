"""A packed model as C for microcontrollers: one header, one source, no heap and no floating point."""

import re
from pathlib import Path

import numpy as np

from lowbit.inference import c_example, c_text, fixed
from lowbit.inference.c_example import nested
from lowbit.inference.check import GATES
from lowbit.inference.fixed import Fixed
from lowbit.inference.matvec.base import affine
from lowbit.inference.whole import LIMIT, TANH, Affine
from lowbit.registry import InputError

# Names of the headers of the C standard.
RESERVED = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar
wctype"""


def export(path: str | Path, folder: str | Path, name: str = "model", bits: int = 8) -> tuple[Path, Path, Path]:
    """Writes `name.h`, `name.c` and the example `name_main.c` of a packed model.

    Activations of 12 bits take no more time or memory than those of 8, and are nearer to the network. The example also
    tests whether a machine computes what the packed model computes. Raises `InputError` where a model has no such form.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name):
        raise InputError(f"{name!r} is no name in C: small letters of ASCII, digits and underscores, at most 50")
    if name in RESERVED.split():
        raise InputError(f"{name!r} is no name in C for a model: there is a header {name}.h in its library")
    if type(bits) is not int:
        raise InputError(f"activations of a fixed-point model take 2 to 12 bits, not {bits!r}")
    texts = _texts(fixed.load(path, bits), name)
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = Path(folder) / f"{name}.h", Path(folder) / f"{name}.c", Path(folder) / f"{name}_main.c"
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return files


def _texts(model: Fixed, name: str) -> tuple[str, str, str]:
    """The texts of the header, of the source and of the example."""
    about, spec = model.about, model.about["spec"]
    title = ", ".join(spec[part] for part in ("dataset", "cell", "quantizer"))
    values = {
        "name": name,
        "NAME": name.upper(),
        "title": re.sub(r"[^\w .,=()+-]", "_", title, flags=re.ASCII),  # which ends no comment
        **{size: about[size] for size in ("inputs", "outputs", "units", "layers")},
        "data": _data(model),
        "tanh": ", ".join(map(str, TANH)),
        "extra": "" if model.cell == "rnn" else c_text.SIGMOID,
        "alphabet": _alphabet(about["alphabet"], name),
        "most": LIMIT,
        "drop": 16 - model.bits,
        "top": model.top,
        "gates": GATES[about["cell"]],
        "fraction": model.fraction,
        "widest": 2 ** (model.widest - 1) - 1 if model.widest else 0,
        "last": model.slots - 1,
    }
    values |= _dots(model)
    parts = (c_text.SYMBOLS if about["symbols"] else c_text.FEATURES) | (
        c_text.SLOTS if model.slots > 1 else c_text.SHARED
    )
    parts |= c_text.MEMORY if model.cell == "lstm" else dict.fromkeys(c_text.MEMORY, "")
    values |= {part: text.format(**values) for part, text in parts.items()}
    settled = "rounded((int64_t)c[j] * settle[n][slot][0][j], 20) + settle[n][slot][1][j]"
    cell = c_text.CELLS[model.cell].replace("{settled}", settled if model.settles else "rounded(c[j], 4)")
    source = c_text.SOURCE.format(**values, cell=cell)
    return c_text.HEADER.format(**values), _prefixed(source, name), c_example.text(model, values)


def _prefixed(source: str, name: str) -> str:
    """The source with the model's name before each static name, so that two models fit in one program."""
    own = set(re.findall(r"^(?:static .*?|\} )(\w+)(?=[\[(;]| =)", source, re.M))
    comments, names = r"/\*.*?\*/", rf"(?<![\w>.])(?:{'|'.join(sorted(own))})\b"
    return re.sub(f"{comments}|{names}", lambda m: m[0] if m[0].startswith("/*") else f"{name}_{m[0]}", source)


def _alphabet(alphabet: str, name: str) -> str:
    """The characters of the symbols as C, where all are ASCII."""
    if not alphabet or not alphabet.isascii():
        return ""
    letters = "".join(c if c.isalnum() or c in " .,;:-_" else f"\\{ord(c):03o}" for c in alphabet)
    return f'#define {name.upper()}_ALPHABET "{letters}"\n'


def _data(model: Fixed) -> str:
    """The arrays of the weights, and the structures that refer to them."""
    texts, entries = [], {"inputs": [], "recurrent": []}
    for n, layer in enumerate(model.layers):
        for part, product in (("inputs", layer.x), ("recurrent", layer.h)):
            arrays, entry = _affine(f"{part}{n}", product)
            texts.append(arrays)
            entries[part].append(entry)
    units, bits = model.about["units"], model.readout.bits
    texts += [
        f"static const LOWBIT_FLASH int16_t readout_weights[][{units}] = {nested(model.readout.whole)};",
        _tables("readout", model.readout),
        f"static const LOWBIT_FLASH affine readout = {{0, readout_factor, readout_shift, 0, 0, 1, 0, {bits}}};",
    ]
    texts += [f"static const LOWBIT_FLASH affine {part}[] = {{{', '.join(rows)}}};" for part, rows in entries.items()]
    if model.settles:
        norms = nested(np.array([np.stack(layer.settle, axis=1) for layer in model.layers]))
        texts.append(f"static const LOWBIT_FLASH int32_t settle[][{model.slots}][2][{units}] = {norms};")
    return "\n".join(texts)


def _dots(model: Fixed) -> dict[str, str]:
    """A function for each width of codes that products read, which takes fields out of a byte by constant shifts."""
    products = [layer.h for layer in model.layers] + [layer.x for layer in model.layers[model.about["symbols"] :]]
    widths = sorted({_width(product) for product in products})
    texts, choice = [], f"dot{widths[-1]}(codes, q, a->cols)"
    for bits in widths:
        fields = [f"(byte >> {bits * k} & {2**bits - 1}) * q[k + {k}]" for k in range(8 // bits)]
        texts.append(c_text.DOT.format(bits=bits, count=8 // bits, terms=" + ".join(fields)))
    for bits in widths[:-1]:
        choice = f"a->bits == {bits} ? dot{bits}(codes, q, a->cols) : {choice}"
    return {"dots": "".join(texts), "dot": choice}


def _width(product: Affine) -> int:
    """The bits of a code: 1, 2, 4 or 8."""
    top = affine(product.levels)[2]
    return 1 if top < 2 else 2 if top < 4 else 4 if top < 16 else 8


def _affine(name: str, product: Affine) -> tuple[str, str]:
    step, base, _ = affine(product.levels)
    bits = _width(product)
    codes = ((product.whole.astype(np.int16) - base) // step).astype(np.uint8)
    count = 8 // bits
    codes = np.pad(codes, ((0, 0), (0, -codes.shape[1] % count))).reshape(len(codes), -1, count)
    packed = (codes << (bits * np.arange(count, dtype=np.uint8))).sum(2, dtype=np.uint8)
    text = f"static const LOWBIT_FLASH uint8_t {name}_codes[] = {nested(packed.ravel())};\n{_tables(name, product)}"
    sizes = f"{product.whole.shape[1]}, {bits}, {step}, {base}, {product.bits}"
    return text, f"{{{name}_codes, {name}_factor, {name}_shift, {sizes}}}"


def _tables(name: str, product: Affine) -> str:
    rows = (("factor", product.factor), ("shift", product.shift))
    return "\n".join(
        f"static const LOWBIT_FLASH int32_t {name}_{part}[] = {nested(row.ravel())};" for part, row in rows
    )
