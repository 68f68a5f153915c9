"""A packed network on a machine: the subject of a hardware page."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from lowbit import paths
from lowbit.hardware.accelerator import Machine, build
from lowbit.hardware.cycles import Workload
from lowbit.hardware.program import Program
from lowbit.inference import model, programs
from lowbit.registry import InputError, canonical
from lowbit.studies.spec import slug


@dataclasses.dataclass(frozen=True)
class Pair:
    """The names of a network and a machine: the parameters of a page."""

    network: str = "ptb_char-lstm-ternary"  # a file of `results/packed`
    machine: str = "ternary"  # of `data/machines.csv`, with options as in ternary(lanes=20)

    @property
    def folder(self) -> str:
        """The folder of its record in `results`."""
        return "hardware"

    @property
    def key(self) -> str:
        """The name of its record and of its pages."""
        return f"{self.network}-on-{slug(self.machine)}"

    @property
    def file(self) -> Path:
        """The packed model."""
        return folder() / f"{self.network}.safetensors"

    @property
    def digest(self) -> str:
        """The sha256 of the packed model."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    @property
    def accelerator(self) -> Machine:
        """The machine as an object."""
        return build(self.machine)

    @property
    def lane(self) -> str:
        """The machine's lane without its widths."""
        lane = self.accelerator.arithmetic
        return canonical(lane.title, lane)

    def program(self, machine: Machine | None = None) -> Program:
        """The program of the network's first layer for the machine, or for another; raises `InputError`."""
        return programs.build(self.file, machine or self.accelerator)[0]

    def work(self) -> Workload:
        """The workload of the program."""
        return Workload.of(self.program())

    def generated(self, steps: int) -> Int64[np.ndarray, " time"]:
        """Symbols that the network generates, so that figures need no dataset; raises `InputError`."""
        network = model.load(self.file, 32)
        if not network.about["symbols"]:
            raise InputError(f"{self.network} reads numbers, so it cannot read its own outputs")
        return network.generate(np.zeros(1, np.int64), steps).astype(np.int64)


def folder() -> Path:
    """The folder of packed models."""
    return paths.results() / "packed"
