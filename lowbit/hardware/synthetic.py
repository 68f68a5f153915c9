"""Programs of random numbers that use every code of a lane and every slot, for tests, figures and synthesis."""

import numpy as np

from lowbit.hardware.accelerator import Machine
from lowbit.hardware.program import PLANS, Pass, Program


def program(
    machine: Machine,
    cell: str = "lstm",
    inputs: int = 8,
    hidden: int = 8,
    symbols: bool = False,
    planes: tuple[int, int] = (1, 1),  # of the input and of the recurrent matrix
    slots: int = 1,
    seed: int = 0,
) -> Program:
    """A program whose pre-activations fill the range of the tables, with biases and scales of either sign."""
    random = np.random.default_rng(seed)
    rows, wide = PLANS[cell].gates * hidden, machine.wide
    values = machine.arithmetic.values
    shares = np.ones(len(values))
    if len(values) > 16:  # trained weights of many bits are mostly near zero
        shares = np.exp(-4.5 * (values / machine.arithmetic.largest) ** 2)

    def sweep(recurrent: bool, cols: int) -> Pass:
        weights = random.choice(values, (rows, cols), p=shares / shares.sum())
        additions = 1 if symbols and not recurrent else cols
        spread = np.sqrt((weights**2.0).sum() / rows / (cols / additions)) * machine.activation.one / 2
        typical = 1.5 * wide.one / min(max(spread, 1.0), machine.accumulator.high)
        places = max(1, int(np.log2((1 << (machine.scale_bits - 1)) / (2 * typical))))
        scale = np.floor(typical * 2.0**places * random.uniform(-1.9, 1.9, (slots, rows))).astype(np.int64)
        bias = random.integers(-wide.one, wide.one, (slots, rows))
        return Pass(recurrent, weights, scale, (bias << places) + (1 << (places - 1)), places)

    passes = [sweep(False, inputs) for _ in range(planes[0])] + [sweep(True, hidden) for _ in range(planes[1])]
    start = random.integers(machine.activation.low, machine.activation.high, (2 if cell == "lstm" else 1, hidden))
    return Program(machine, cell, tuple(passes), start, None if symbols else machine.activation)


def stimulus(target: Program, steps: int, batch: int = 1, seed: int = 0) -> np.ndarray:
    """Random inputs of a program: symbols (time batch), or numbers (time batch inputs)."""
    random = np.random.default_rng(seed)
    inputs = target.passes[0].weights.shape[1]
    if target.inputs is None:
        return random.integers(0, inputs, (steps, batch))
    return random.integers(target.inputs.low, target.inputs.high + 1, (steps, batch, inputs))
