"""A packed model as C for microcontrollers: one header, one source, no heap and no floating point."""

from pathlib import Path

import numpy as np

from lowbit.inference.fixed import Affine, Fixed
from lowbit.inference.matvec.base import affine
from lowbit.registry import InputError

HEADER = """\
/* {title}: one step of a recurrent network in whole numbers. No heap, no floating point. */
#ifndef LOWBIT_{NAME}_H
#define LOWBIT_{NAME}_H

#include <stdint.h>

#define {NAME}_SYMBOLS {inputs}
#define {NAME}_OUTPUTS {outputs}
#define {NAME}_UNITS {units}
#define {NAME}_LAYERS {layers}

typedef struct {{
    int16_t h[{NAME}_LAYERS][{NAME}_UNITS]; /* 2^15 times the output */
    int32_t c[{NAME}_LAYERS][{NAME}_UNITS]; /* 2^16 times the cell of an LSTM */
}} {name}_state;

/* The state before a sequence. */
void {name}_start({name}_state *state);

/* One symbol from 0 to {NAME}_SYMBOLS - 1; logits are 2^12 times their value. */
void {name}_step({name}_state *state, int32_t symbol, int32_t logits[{NAME}_OUTPUTS]);

#endif
"""

SOURCE = """\
/* Shifts of negative numbers are arithmetic, as every common compiler has them. */
#include "{name}.h"

typedef struct {{
    const uint8_t *codes; /* rows of fields, the first field lowest */
    const int32_t *factor, *shift;
    int32_t cols, bits, step, base; /* a weight is step * code + base */
}} affine;

{data}

static const int16_t tanh_table[] = {{{tanh}}};

static int32_t code_at(const affine *a, int32_t row, int32_t col) {{
    const uint8_t *codes = a->codes + (int32_t)((a->cols * a->bits + 7) / 8) * row;
    return codes[col * a->bits >> 3] >> (col * a->bits & 7) & ((1 << a->bits) - 1);
}}

static int32_t rounded(int64_t value, int32_t bits) {{
    return (int32_t)((value + ((int64_t)1 << bits >> 1)) >> bits);
}}

/* Sums of whole numbers to Q12. */
static int32_t scaled(const affine *a, int32_t row, int32_t sum) {{
    return rounded((int64_t)sum * a->factor[row] + (int64_t)a->shift[row] * 65536, 16);
}}

static int32_t product(const affine *a, int32_t row, const int16_t *q, int32_t total) {{
    int32_t sum = 0;
    for (int32_t k = 0; k < a->cols; k++) sum += code_at(a, row, k) * q[k];
    return scaled(a, row, a->step * sum + a->base * total);
}}

/* The table between its entries on a straight line, each 2^bits apart. */
static int32_t between(int32_t z, int32_t bits) {{
    int32_t size = z < 0 ? -z : z, last = (256 << bits) - 1;
    if (z < -last || size > last) size = last;
    int32_t entry = size >> bits, low = tanh_table[entry];
    int32_t value = low + rounded((int64_t)(tanh_table[entry + 1] - low) * (size & ((1 << bits) - 1)), bits);
    return z < 0 ? -value : value;
}}

static int32_t tanh_q15(int32_t z) {{ return between(z, 7); }}

{extra}/* h as the next product takes it, and the sum of it. */
static int32_t whole(const int16_t *h, int16_t *q) {{
    int32_t total = 0;
    for (int32_t j = 0; j < {NAME}_UNITS; j++) {{
        int32_t value = rounded(h[j], {drop});
        q[j] = (int16_t)(value > {top} ? {top} : value < -{top} ? -{top} : value);
        total += q[j];
    }}
    return total;
}}

void {name}_start({name}_state *state) {{
    for (int32_t n = 0; n < {NAME}_LAYERS; n++)
        for (int32_t j = 0; j < {NAME}_UNITS; j++) state->h[n][j] = 0, state->c[n][j] = 0;
}}

void {name}_step({name}_state *state, int32_t symbol, int32_t logits[{NAME}_OUTPUTS]) {{
    int16_t below[{NAME}_UNITS], before[{NAME}_UNITS];
    int32_t total_below = 0;
    for (int32_t n = 0; n < {NAME}_LAYERS; n++) {{
        int16_t *h = state->h[n];
        int32_t *c = state->c[n], total = whole(h, before);
        (void)c;
        for (int32_t j = 0; j < {NAME}_UNITS; j++) {{
            int32_t x[{gates}], z[{gates}];
            for (int32_t g = 0; g < {gates}; g++) {{
                int32_t row = g * {NAME}_UNITS + j;
                const affine *a = &inputs[n];
                x[g] = n ? product(a, row, below, total_below)
                         : scaled(a, row, a->step * code_at(a, row, symbol) + a->base);
                z[g] = product(&recurrent[n], row, before, total);
            }}
{cell}
        }}
        total_below = whole(h, below);
    }}
    for (int32_t r = 0; r < {NAME}_OUTPUTS; r++) logits[r] = product(&readout, r, below, total_below);
}}
"""

SIGMOID = """\
static int32_t sigmoid_q15(int32_t z) { return rounded(32768 + between(z, 8), 1); }

"""

CELLS = {
    "rnn": "            h[j] = (int16_t)tanh_q15(x[0] + z[0]);",
    "gru": """\
            int32_t r = sigmoid_q15(x[0] + z[0]), u = sigmoid_q15(x[1] + z[1]);
            int32_t m = tanh_q15(x[2] + rounded((int64_t)r * z[2], 15));
            h[j] = (int16_t)(m + rounded((int64_t)u * (h[j] - m), 15));""",
    "lstm": """\
            int32_t i = sigmoid_q15(x[0] + z[0]), f = sigmoid_q15(x[1] + z[1]);
            int32_t m = tanh_q15(x[2] + z[2]), o = sigmoid_q15(x[3] + z[3]);
            int64_t kept = ((int64_t)f * c[j] + 2 * (int64_t)i * m + 16384) >> 15;
            c[j] = (int32_t)(kept > INT32_MAX ? INT32_MAX : kept < -INT32_MAX ? -INT32_MAX : kept);
            h[j] = (int16_t)rounded((int64_t)o * tanh_q15({settled}), 15);""",
}


def export(path: str | Path, folder: str | Path, name: str = "model", bits: int = 8) -> tuple[Path, Path]:
    """Writes `name.h` and `name.c` of a packed model of symbols; raises `InputError` where it has no such form."""
    if not name.isidentifier():
        raise InputError(f"{name!r} is no name in C: letters, digits and underscores")
    header, source = written(Fixed(path, bits), name)
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = Path(folder) / f"{name}.h", Path(folder) / f"{name}.c"
    for file, text in zip(files, (header, source), strict=True):
        file.write_text(text)
    return files


def written(fixed: Fixed, name: str) -> tuple[str, str]:
    """The texts of the header and of the source."""
    about = fixed.about
    settles = fixed.layers[0].settle is not None
    words = {
        "name": name,
        "NAME": name.upper(),
        "title": f"{about['spec']['dataset']}, {about['spec']['cell']}, {about['spec']['quantizer']}",
        "inputs": about["inputs"],
        "outputs": about["outputs"],
        "units": about["units"],
        "layers": about["layers"],
        "data": _data(fixed, settles),
        "tanh": ", ".join(map(str, fixed.tanh)),
        "extra": "" if fixed.cell == "rnn" else SIGMOID,
        "drop": 16 - fixed.bits,
        "top": 2 ** (fixed.bits - 1) - 1,
        "gates": {"rnn": 1, "gru": 3, "lstm": 4}[fixed.cell],
    }
    settled = "rounded((int64_t)c[j] * settle[n][0][j], 20) + settle[n][1][j]" if settles else "rounded(c[j], 4)"
    return HEADER.format(**words), SOURCE.format(**words, cell=CELLS[fixed.cell].replace("{settled}", settled))


def _data(fixed: Fixed, settles: bool) -> str:
    texts, entries = [], {"inputs": [], "recurrent": []}
    for n, layer in enumerate(fixed.layers):
        for part, each in (("inputs", layer.x), ("recurrent", layer.h)):
            arrays, entry = _affine(f"{part}{n}", each)
            texts.append(arrays)
            entries[part].append(entry)
    arrays, entry = _affine("readout", fixed.readout)
    texts += [arrays, f"static const affine readout = {entry};"]
    texts += [f"static const affine {part}[] = {{{', '.join(each)}}};" for part, each in entries.items()]
    if settles:
        rows = [f"{{{_numbers(layer.settle[0])}}}, {{{_numbers(layer.settle[1])}}}" for layer in fixed.layers]
        nested = ", ".join(f"{{{row}}}" for row in rows)
        texts.append(f"static const int32_t settle[][2][{fixed.about['units']}] = {{{nested}}};")
    return "\n".join(texts)


def _affine(name: str, each: Affine) -> tuple[str, str]:
    step, base, top = affine(each.levels)
    bits = 1 if top < 2 else 2 if top < 4 else 4 if top < 16 else 8
    codes = ((each.whole.astype(np.int16) - base) // step).astype(np.uint8)
    count = 8 // bits
    codes = np.pad(codes, ((0, 0), (0, -codes.shape[1] % count))).reshape(len(codes), -1, count)
    packed = (codes << (bits * np.arange(count, dtype=np.uint8))).sum(2, dtype=np.uint8)
    text = (
        f"static const uint8_t {name}_codes[] = {{{_numbers(packed.ravel())}}};\n"
        f"static const int32_t {name}_factor[] = {{{_numbers(each.factor)}}};\n"
        f"static const int32_t {name}_shift[] = {{{_numbers(each.shift)}}};"
    )
    return text, f"{{{name}_codes, {name}_factor, {name}_shift, {each.whole.shape[1]}, {bits}, {step}, {base}}}"


def _numbers(values: np.ndarray) -> str:
    return ",".join(map(str, values.tolist()))
