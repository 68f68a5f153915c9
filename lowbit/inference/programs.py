"""The program of an accelerator from a packed file: its layers as whole numbers."""

from pathlib import Path

import numpy as np
import torch

from lowbit import quantizers
from lowbit.hardware import program
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.fixed import Format
from lowbit.hardware.program import PLANS, Program, format_up_to
from lowbit.inference import check, file
from lowbit.inference.grid import Matrix
from lowbit.quantizers.planes import Plane, split
from lowbit.registry import InputError

Arrays = dict[str, np.ndarray]


def build(path: str | Path, machine: Machine) -> tuple[Program, ...]:
    """A program for each layer of a packed model; raises `InputError` for what the machine lacks."""
    arrays, about = check.read(path)
    if about["cell"] not in PLANS:
        raise InputError(f"the datapath has no cell {about['cell']!r}; known: {', '.join(PLANS)}")
    form = None
    if file.has("embedding", arrays):
        form = format_up_to(float(np.abs(file.matrix("embedding", arrays).values).max()), machine.act_bits)
    elif not about["symbols"]:
        raise InputError("this packed model reads numbers: a machine takes from a file only models of symbols")
    levels = quantizers.build(about["spec"]["quantizer"]).levels
    programs = []
    for n in range(about["layers"]):
        programs.append(_program(file.layer(n, arrays), about["cell"], levels, machine, form))
        form = machine.activation
    return tuple(programs)


def _program(arrays: Arrays, cell: str, levels: tuple[float, ...], machine: Machine, form: Format | None) -> Program:
    scale_x, scale_h, shift_x = (torch.from_numpy(arrays[name].copy()) for name in ("scale_x", "scale_h", "shift_x"))
    shift_h = torch.from_numpy(arrays.get("shift_h", np.zeros_like(arrays["shift_x"])))
    x, h = (_planes(file.matrix(part, arrays), levels, machine) for part in ("input", "recurrent"))
    fraction = machine.symbol.fraction if form is None else form.fraction
    passes = program.sweeps(x, scale_x, shift_x, machine, fraction, False)
    passes += program.sweeps(h, scale_h, shift_h, machine, machine.activation.fraction, True)
    memories, hidden = 2 if cell == "lstm" else 1, h[0].whole.shape[1]
    first = arrays.get("first", np.zeros((memories, hidden), np.float32))
    formats = (machine.activation, machine.wide)[:memories]
    start = np.stack([number.quantize(row) for number, row in zip(formats, first, strict=True)])
    return Program(machine, cell, passes, start, form)


def _planes(matrix: Matrix, levels: tuple[float, ...], machine: Machine) -> tuple[Plane, ...]:
    if matrix.codes is None or matrix.book.shape[1] != len(levels):
        return (program.nearest(torch.from_numpy(matrix.values.copy()), machine),)
    codes, book = (torch.from_numpy(np.ascontiguousarray(array)) for array in (matrix.codes, matrix.levels))
    return split(codes, book, levels)
