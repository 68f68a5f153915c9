"""Errors of rounding: a network in real numbers and the same in whole numbers, stage by stage."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from lowbit.hardware import golden
from lowbit.hardware.program import PLANS, Program
from lowbit.inference import check, file
from lowbit.registry import InputError

Stages = dict[str, Float[np.ndarray, "batch values"]]


def sigmoid(v: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The logistic function, without overflow."""
    return (1 + np.tanh(v / 2)) / 2


GATES = {"lstm": (sigmoid, sigmoid, np.tanh, sigmoid), "gru": (sigmoid, sigmoid), "rnn": ()}


class Real(NamedTuple):
    """One layer of a packed model that reads symbols, in float64."""

    cell: str
    table: Float[np.ndarray, "symbols rows"]
    weights: Float[np.ndarray, "rows hidden"]
    scale: Float[np.ndarray, " rows"]
    shift: Float[np.ndarray, " rows"]
    start: Float[np.ndarray, "memories hidden"]

    @classmethod
    def of(cls, path: Path) -> "Real":
        """The first layer of a file whose steps share their norms; raises `InputError` for other files."""
        arrays, about = check.read(path)
        if len(arrays["layers.0.scale_x"]) > 1:
            raise InputError(f"{path.name} keeps norm statistics of single steps: pack it with separate_steps=0")
        parameters = {
            name.removeprefix("layers.0."): array.astype(np.float64)
            for name, array in arrays.items()
            if array.dtype == np.float32
        }
        x, h = (file.matrix(f"layers.0.{part}", arrays).values.astype(np.float64) for part in ("input", "recurrent"))
        zero = np.zeros((2 if about["cell"] == "lstm" else 1, h.shape[1]))
        shift_h = parameters.get("shift_h", np.zeros_like(parameters["shift_x"]))
        table = x.T * parameters["scale_x"][0] + parameters["shift_x"][0]
        return cls(about["cell"], table, h, parameters["scale_h"][0], shift_h[0], parameters.get("first", zero))

    def run(self, symbols: Int64[np.ndarray, "time batch"]) -> Iterator[Stages]:
        """The stages of every step."""
        plan, hidden = PLANS[self.cell], self.weights.shape[1]
        values = [np.repeat(row[None], symbols.shape[1], axis=0) for row in self.start]
        for row in symbols:
            sums = np.zeros((len(row), plan.fields, hidden))
            recurrent = values[0] @ self.weights.T * self.scale + self.shift
            for fields, product in ((plan.x, self.table[row]), (plan.h, recurrent)):
                for field, part in zip(fields, np.split(product, plan.gates, axis=1), strict=True):
                    sums[:, field] += part
            gates = [gate(sums[:, field]) for field, gate in enumerate(GATES[self.cell])]
            if self.cell == "lstm":
                i, f, g, o = gates
                values[1] = f * values[1] + i * g
                values[0] = o * np.tanh(values[1])
            elif self.cell == "gru":
                n = np.tanh(sums[:, 2] + gates[0] * sums[:, 3])
                values[0] = n + gates[1] * (values[0] - n)
            else:
                values[0] = np.tanh(sums[:, 0])
            yield _stages(sums, gates, values)


def whole(program: Program, symbols: Int64[np.ndarray, "time batch"]) -> Iterator[Stages]:
    """The stages of every step on the engine."""
    machine = program.machine
    tables = dict(zip((sigmoid, np.tanh), golden.tables(machine), strict=True))
    values = tuple(np.repeat(row[None], symbols.shape[1], axis=0) for row in program.start)
    for t, row in enumerate(symbols):
        sums = golden.preactivations(program, row, values, t)
        values = golden.FINISH[program.cell](machine, sums, values)
        gates = [tables[gate](sums[:, field]) for field, gate in enumerate(GATES[program.cell])]
        reals = [form.real(value) for form, value in zip((machine.activation, machine.wide), values, strict=False)]
        yield _stages(machine.wide.real(sums), [machine.activation.real(gate) for gate in gates], reals)


def _stages(sums: np.ndarray, gates: list[np.ndarray], values: list[np.ndarray]) -> Stages:
    stages = {"pre-activation": sums.reshape(len(sums), -1)}
    if gates:
        stages["gate"] = np.concatenate(gates, axis=1)
    if len(values) > 1:
        stages["cell"] = values[1].copy()
    return stages | {"hidden": values[0].copy()}


class Error(NamedTuple):
    """The distance of whole numbers from real ones."""

    rms: float
    largest: float


def errors(real: Iterator[Stages], rounded: Iterator[Stages]) -> dict[str, Error]:
    """Errors by stage, over all steps, sequences and units; both networks continue from their own state."""
    squares: dict[str, list[float]] = {}
    largest: dict[str, float] = {}
    for a, b in zip(real, rounded, strict=True):
        for stage in a:
            error = np.abs(a[stage] - b[stage])
            squares.setdefault(stage, []).append(float((error**2).mean()))
            largest[stage] = max(largest.get(stage, 0.0), float(error.max()))
    return {stage: Error(float(np.sqrt(np.mean(means))), largest[stage]) for stage, means in squares.items()}
