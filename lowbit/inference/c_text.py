"""The text of exported C: a header and a source, with parts for symbols or features, cells, and norm statistics."""

HEADER = """\
/* {title}: one step of a recurrent network in whole numbers. No heap, no floating point. */
#ifndef LOWBIT_{NAME}_H
#define LOWBIT_{NAME}_H

#include <stdint.h>

{sizes}
#define {NAME}_OUTPUTS {outputs}
#define {NAME}_UNITS {units}
#define {NAME}_LAYERS {layers}
{alphabet}
typedef struct {{
    int16_t h[{NAME}_LAYERS][{NAME}_UNITS]; /* 2^15 times the output */
{cells}{counter}}} {name}_state;

#ifdef __cplusplus
extern "C" {{
#endif

/* The state before a sequence. */
void {name}_start({name}_state *state);

/* {takes}; logits are 2^12 times their value. */
void {name}_step({name}_state *state, {input}, int32_t logits[{NAME}_OUTPUTS]);

/* The output of the largest logit. */
int32_t {name}_best(const int32_t logits[{NAME}_OUTPUTS]);

/* An output, as likely as its logit says, chosen by a random number of 32 bits. */
int32_t {name}_draw(const int32_t logits[{NAME}_OUTPUTS], uint32_t random);

#ifdef __cplusplus
}}
#endif

#endif
"""

SOURCE = """\
/* Shifts of negative numbers are arithmetic, as every common compiler has them; int may have 16 bits. */
#include "{name}.h"

/* What keeps the tables out of RAM where constants are copied there: -DLOWBIT_FLASH=__flash with avr-gcc. */
#ifndef LOWBIT_FLASH
#define LOWBIT_FLASH
#endif

typedef struct {{
    const LOWBIT_FLASH uint8_t *codes; /* rows of fields, the first field lowest */
    const LOWBIT_FLASH int32_t *factor, *shift;
    int32_t cols, bits, step, base; /* a weight is step * code + base */
    int32_t point; /* bits of a factor below that of Q12 */
}} affine;

{data}

static const LOWBIT_FLASH int16_t tanh_table[] = {{{tanh}}};

{pick}/* Halves up; what would leave 31 bits stops there. */
static int32_t rounded(int64_t value, int32_t bits) {{
    value = (value + ((int64_t)1 << bits >> 1)) >> bits;
    return (int32_t)(value > {most} ? {most} : value < -{most} ? -{most} : value);
}}

/* Sums of whole numbers to Q12, by a row of the tables. */
static int32_t scaled(const LOWBIT_FLASH affine *a, int32_t entry, int32_t sum) {{
    return rounded((int64_t)sum * a->factor[entry] + a->shift[entry] * ((int64_t)1 << a->point), a->point);
}}

{dots}static int32_t product(
    const LOWBIT_FLASH affine *a, int32_t row, int32_t entry, const int16_t *q, int32_t total
) {{
    const LOWBIT_FLASH uint8_t *codes = a->codes + (a->cols * a->bits + 7) / 8 * row;
    int32_t sum = {dot};
    return scaled(a, entry, a->step * sum + a->base * total);
}}

static int32_t logit(int32_t row, const int16_t *q) {{
    int32_t sum = 0;
    for (int32_t k = 0; k < {NAME}_UNITS; k++) sum += (int32_t)readout_weights[row][k] * q[k];
    return scaled(&readout, row, sum);
}}

/* The table between its entries on a straight line, each 2^bits apart. */
static int32_t between(int32_t z, int32_t bits) {{
    int32_t size = z < 0 ? -z : z, last = ((int32_t)256 << bits) - 1;
    if (size > last) size = last;
    int32_t entry = size >> bits, low = tanh_table[entry];
    int32_t value = low + rounded((int64_t)(tanh_table[entry + 1] - low) * (size & (((int32_t)1 << bits) - 1)), bits);
    return z < 0 ? -value : value;
}}

static int32_t tanh_q15(int32_t z) {{ return between(z, 7); }}

{extra}static int16_t within(int32_t value, int16_t top) {{
    return (int16_t)(value > top ? top : value < -top ? -top : value);
}}

/* h as the next product takes it, and the sum of it. */
static int32_t whole(const int16_t *h, int16_t *q) {{
    int32_t total = 0;
    for (int32_t j = 0; j < {NAME}_UNITS; j++) total += q[j] = within(rounded(h[j], {drop}), {top});
    return total;
}}

void {name}_start({name}_state *state) {{
    for (int32_t n = 0; n < {NAME}_LAYERS; n++)
        for (int32_t j = 0; j < {NAME}_UNITS; j++) state->h[n][j] = 0{clear};
{reset}}}

void {name}_step({name}_state *state, {input}, int32_t logits[{NAME}_OUTPUTS]) {{
    int16_t below[({width}) + 7] = {{0}}, before[{NAME}_UNITS + 7] = {{0}}; /* a product reads whole bytes of codes */
    int32_t total_below = 0, slot = {slot};
{prepared}
    for (int32_t n = 0; n < {NAME}_LAYERS; n++) {{
        int16_t *h = state->h[n];
        int32_t {memory}total = whole(h, before);
        for (int32_t j = 0; j < {NAME}_UNITS; j++) {{
            int32_t x[{gates}], z[{gates}];
            for (int32_t g = 0; g < {gates}; g++) {{
                int32_t row = g * {NAME}_UNITS + j, entry = ({gates} * slot + g) * {NAME}_UNITS + j;
                const LOWBIT_FLASH affine *a = &inputs[n];
                x[g] = {first};
                z[g] = product(&recurrent[n], row, entry, before, total);
            }}
{cell}
        }}
        total_below = whole(h, below);
    }}
    for (int32_t r = 0; r < {NAME}_OUTPUTS; r++) logits[r] = logit(r, below);
{count}}}

int32_t {name}_best(const int32_t logits[{NAME}_OUTPUTS]) {{
    int32_t best = 0;
    for (int32_t r = 1; r < {NAME}_OUTPUTS; r++)
        if (logits[r] > logits[best]) best = r;
    return best;
}}

/* 2^16 exp(-z / 2^12), by a polynomial for the part of the power of 2 behind the point. */
static uint32_t likelihood(int64_t z) {{
    int32_t power = (int32_t)((z > 65536 ? 65536 : z) * 94548 >> 16), part = power & 4095;
    int32_t value = -1819 + (315 * part >> 12);
    value = 7872 + (value * part >> 12);
    value = -22713 + (value * part >> 12);
    value = 32768 + (value * part >> 12);
    return (uint32_t)value * 2 >> (power >> 12);
}}

int32_t {name}_draw(const int32_t logits[{NAME}_OUTPUTS], uint32_t random) {{
    int64_t top = logits[{name}_best(logits)];
    uint32_t total = 0, rest;
    int32_t r = 0;
    for (int32_t k = 0; k < {NAME}_OUTPUTS; k++) total += likelihood(top - logits[k]);
    rest = (uint32_t)((uint64_t)random * total >> 32);
    for (uint32_t own; r < {NAME}_OUTPUTS - 1 && rest >= (own = likelihood(top - logits[r])); r++) rest -= own;
    return r;
}}
"""

SYMBOLS = {
    "sizes": "#define {NAME}_SYMBOLS {inputs}",
    "takes": "One symbol from 0 to {NAME}_SYMBOLS - 1, any other changes nothing",
    "input": "int32_t symbol",
    "pick": """\
static int32_t code_at(const LOWBIT_FLASH affine *a, int32_t row, int32_t col) {{
    const LOWBIT_FLASH uint8_t *codes = a->codes + (a->cols * a->bits + 7) / 8 * row;
    return codes[col * a->bits >> 3] >> (col * a->bits & 7) & (((int32_t)1 << a->bits) - 1);
}}

""",
    "width": "{NAME}_UNITS",
    "prepared": "    if (symbol < 0 || symbol >= {NAME}_SYMBOLS) return;",
    "first": """n ? product(a, row, entry, below, total_below)
                         : scaled(a, entry, a->step * code_at(a, row, symbol) + a->base)""",
}
FEATURES = {
    "sizes": """\
#define {NAME}_FEATURES {inputs}
#define {NAME}_POINT {fraction} /* bits of a feature below the point */""",
    "takes": "Features, 2^{NAME}_POINT times their value and at most {widest}",
    "input": "const int16_t features[{NAME}_FEATURES]",
    "pick": "",
    "width": "{NAME}_FEATURES > {NAME}_UNITS ? {NAME}_FEATURES : {NAME}_UNITS",
    "prepared": """\
    for (int32_t k = 0; k < {NAME}_FEATURES; k++) total_below += below[k] = within(features[k], {widest});""",
    "first": "product(a, row, entry, below, total_below)",
}
MEMORY = {  # where the cell has one
    "cells": "    int32_t c[{NAME}_LAYERS][{NAME}_UNITS]; /* 2^16 times the cell of an LSTM */\n",
    "clear": ", state->c[n][j] = 0",
    "memory": "*c = state->c[n], ",
}
SHARED = {"counter": "", "reset": "", "slot": "0", "count": ""}
SLOTS = {  # where the first steps have norm statistics of their own
    "counter": "    int32_t t; /* steps since the start, at most {last} */\n",
    "reset": "    state->t = 0;\n",
    "slot": "state->t",
    "count": "    if (state->t < {last}) state->t++;\n",
}

DOT = """\
/* Codes of {bits} bits times q; those behind the last column are 0. */
static int32_t dot{bits}(const LOWBIT_FLASH uint8_t *codes, const int16_t *q, int32_t cols) {{
    int32_t sum = 0;
    for (int32_t k = 0; k < cols; k += {count}) {{
        int32_t byte = *codes++;
        sum += {terms};
    }}
    return sum;
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
            int64_t sum = ((int64_t)f * c[j] + 2 * (int64_t)i * m + 16384) >> 15;
            c[j] = (int32_t)(sum > INT32_MAX ? INT32_MAX : sum < -INT32_MAX ? -INT32_MAX : sum);
            h[j] = (int16_t)rounded((int64_t)o * tanh_q15({settled}), 15);""",
}
