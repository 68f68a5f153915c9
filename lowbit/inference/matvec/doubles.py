"""Weights of far apart levels as floats: what the kernel of tables must equal, for every processor."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member


@matvec.register
@dataclasses.dataclass(frozen=True)
class Doubles(Member):
    """Weights in float32, sums in float64: both hold these whole numbers, so that any order gives the same."""

    rank: ClassVar[int] = 1
    wide: ClassVar[bool] = True

    def fits(self, grid: Grid, bits: int) -> bool:
        """Levels of more than eight bits that float32 has; sums within the 53 bits of float64."""
        top = max(map(abs, grid.levels))
        held = all(int(np.float32(level)) == level for level in grid.levels)
        return not grid.narrow and held and (grid.codes.shape[1] * top) << (bits - 1) < 2**53

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Row by row."""
        return Layout([*grid.codes.shape], np.array(grid.levels, np.float32)[grid.codes], len(grid.codes))
