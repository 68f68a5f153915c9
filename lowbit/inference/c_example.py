"""The example of exported C: a program that tests a model on the machine at hand, and uses it."""

import numpy as np

from lowbit.inference.fixed import Fixed

STEPS = 8  # of the test

EXAMPLE = """\
/* An example of {name}, and a test: it says whether this machine computes what the packed model computes. */
#include <stdio.h>
#include "{name}.h"

static const {kind} inputs[{steps}]{width} = {rows};
static const int32_t expected[{NAME}_OUTPUTS] = {expected};

int main(void) {{
    static {name}_state state;
    static int32_t logits[{NAME}_OUTPUTS];
    {name}_start(&state);
    for (int n = 0; n < {steps}; n++) {name}_step(&state, inputs[n], logits);
    for (int r = 0; r < {NAME}_OUTPUTS; r++)
        if (logits[r] != expected[r]) {{
            puts("wrong");
            return 1;
        }}
    puts("right");
{further}    return 0;
}}
"""
WRITES = """\
    uint32_t random = 1;
    for (int n = 0; n < 80; n++) {{
        random = random * 1664525 + 1013904223;
        int32_t symbol = {name}_draw(logits, random);
        putchar({NAME}_ALPHABET[symbol]);
        {name}_step(&state, symbol, logits);
    }}
    puts("");
"""
CHOOSES = """\
    printf("%ld\\n", (long){name}_best(logits));
"""


def text(model: Fixed, values: dict) -> str:
    """A program that tests a few steps, then writes text or says the class."""
    about, random, state = model.about, np.random.default_rng(0), model.start()
    if about["symbols"]:
        rows = x = random.integers(0, about["inputs"], STEPS)
    else:
        x = random.uniform(-1, 1, (STEPS, about["inputs"])) * about["input_range"]
        rows = model.quantize(x)
    for row in x:
        logits, state = model.step(int(row) if about["symbols"] else row, state)
    writes = about["symbols"] and values["alphabet"] and about["inputs"] == about["outputs"]
    further = (WRITES if writes else CHOOSES).format(**values)
    kind, width = ("int32_t", "") if about["symbols"] else ("int16_t", f"[{values['NAME']}_FEATURES]")
    parts = {"kind": kind, "width": width, "rows": nested(rows), "steps": STEPS, "further": further}
    return EXAMPLE.format(**values | parts, expected=nested(np.array(logits)))


def nested(values: np.ndarray) -> str:
    """An array as C initializes it."""
    rows = map(nested, values) if values.ndim > 1 else map(str, values.tolist())
    return f"{{{','.join(rows)}}}"
