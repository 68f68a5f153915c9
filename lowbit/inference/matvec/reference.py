"""The product as it is written, in whole numbers: what every other kernel must equal."""

import dataclasses
from typing import ClassVar

import numpy as np

from lowbit.inference import matvec
from lowbit.inference.grid import Grid
from lowbit.inference.matvec.base import Layout, Member, narrow


@matvec.register
@dataclasses.dataclass(frozen=True)
class Reference(Member):
    """Eight bits a weight in rows, one product after the other; for every processor."""

    rank: ClassVar[int] = 0

    def fits(self, grid: Grid, bits: int) -> bool:
        """Wherever eight bits hold a weight and 32 a sum."""
        return grid.narrow and narrow(grid, bits)

    def layout(self, grid: Grid, bits: int) -> Layout:
        """Row by row."""
        return Layout([*grid.codes.shape], grid.whole.astype(np.int8), len(grid.codes))
