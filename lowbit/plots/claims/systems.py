"""What benchmark records and synthesized prices bear out: speed on processors, area and energy of engines."""

import itertools
from typing import NamedTuple

import pandas as pd

from lowbit.hardware import accelerator, cost, technology
from lowbit.hardware.cycles import Workload
from lowbit.plots.claims.base import Claim, claim, enumeration
from lowbit.plots.markdown import span
from lowbit.speed import benchmarks
from lowbit.speed.benchmarks import Benchmark, Case, Quartiles

PEERS = {"float32": ("float32",), "int8": ("int8", "torch int8")}
SMALL = ("binary", "ternary")
STREAMS = 64  # side by side, in the benchmark of whole steps


class Measured(NamedTuple):
    """How many times faster one contestant of a case is than a group of peers."""

    benchmark: Benchmark
    case: Case
    peer: str
    ratio: Quartiles


@claim("intro", "speed")
def training_speed(frame: pd.DataFrame) -> Claim:
    """Training of normalized layers beside torch's plain ones."""
    measured = [
        Measured(benchmark, case, "torch", case.ratio("fused", "torch"))
        for benchmark in benchmarks.scan("training").records
        for case in benchmark.cases
        if "fused" in case.seconds
    ]
    least, most = (pick(measured, key=lambda entry: entry.ratio.median) for pick in (min, max))
    faster = sum(entry.ratio.median > 1 for entry in measured)
    text = (
        "**A layer normalized at every step trains about as fast as torch's plain one, or faster.** In float32"
        f" {faster} of {len(measured)} cases are faster on {_processors(measured)}: at most {_layer(most)}, at least"
        f" {_layer(least)}."
    )
    return Claim(text, least.ratio.median > 0.8 and faster > len(measured) / 2, _files(measured))


@claim("intro", "speed")
def inference_speed(frame: pd.DataFrame) -> Claim:
    """Packed one- and two-bit layers beside the fastest int8 and float32 peers, and what comes on top of a layer."""
    cases = [(benchmark, case) for benchmark in benchmarks.scan("inference").records for case in benchmark.cases]
    measured = [
        Measured(benchmark, case, peer, case.ratio(f"{name}, 8-bit activations", *groups))
        for benchmark, case in cases
        for name, (peer, groups) in itertools.product(SMALL, PEERS.items())
    ]
    medians: dict[tuple[str, str], list[float]] = {}
    for _, case, peer, ratio in measured:
        medians.setdefault((case.about["instructions"], peer), []).append(ratio.median)
    spans = {key: span(values, ".2g") for key, values in medians.items()}
    text = (
        "**A packed layer takes a step in less time than its peers.** With one or two bits a weight and 8-bit"
        f" activations it is {spans['all', 'float32']} times as fast as the fastest float32 peer and"
        f" {spans['all', 'int8']} times as fast as the fastest int8 peer on {_processors(measured)}; with our code held"
        f" to AVX2, but not the peers, {spans['AVX2', 'float32']} and {spans['AVX2', 'int8']} times (medians). This is"
        " the layer alone."
    )
    return Claim(text, all(entry.ratio.median > 1 for entry in measured), _files(measured))


@claim("intro", "speed")
def whole_step_speed(frame: pd.DataFrame) -> Claim:
    """A step from a symbol to the next one beside onnxruntime's int8, alone, written in one call, and side by side."""
    groups = {"": "int8", ", written": "sampled", f", {STREAMS} streams": "streams"}
    measured, ratios = [], {}
    for record in benchmarks.scan("steps").records:
        for case, name, kind in itertools.product(record.cases, SMALL, groups):
            if name + kind in case.seconds:
                measured.append(Measured(record, case, groups[kind], case.ratio(name + kind, groups[kind])))
                ratios.setdefault(name + kind, []).append(measured[-1].ratio.median)
    parts = {name: span(values, ".2g") for name, values in ratios.items()}
    text = (
        "**A whole step, from a symbol to the next one, is faster than onnxruntime's int8.** One call a step, with the"
        f" readout: {parts.get('binary')} times as fast with binary weights, {parts.get('ternary')} with ternary ones;"
        f" text sampled in one call {parts.get('binary, written')} and {parts.get('ternary, written')} times;"
        f" {STREAMS} streams side by side {parts.get(f'binary, {STREAMS} streams')} and"
        f" {parts.get(f'ternary, {STREAMS} streams')} times, on {_processors(measured)}."
    )
    return Claim(text, bool(measured) and all(entry.ratio.median > 1 for entry in measured), _files(measured))


@claim("intro", "hardware")
def storage_matters(frame: pd.DataFrame) -> Claim:
    """Where the area ratio of two engines comes from."""
    works = [Workload("lstm", 50, hidden) for hidden in (128, 512, 2048)]
    whole = [f"{work.hidden} units" for work in works]
    full, parts, holds = accelerator.build("full"), [], True
    for name in SMALL:
        small = accelerator.build(name)
        stages = {stage.name: stage.area for stage in cost.waterfall(full, small, works)}
        areas, logic = [stages[units] for units in whole], _logic_um2("full") / _logic_um2(name)
        holds &= min(areas) > logic
        parts.append(
            f"{name} {logic:.1f} in logic, {areas[0]:.1f} to {areas[-1]:.1f} with the weights of {works[0].hidden} to"
            f" {whole[-1]}"
        )
    text = (
        "**With its weights an engine saves more area than its logic alone.** Against an engine with 12-bit weights"
        f" (Booth multipliers, sg13g2), times smaller: {'; '.join(parts)}. Logic is synthesized, memories are macros of"
        " the library, and wires are left out."
    )
    return Claim(text, holds, ("data/technology/synthesis.csv", "data/technology/memory.csv"))


@claim("hardware")
def glitches_cost(frame: pd.DataFrame) -> Claim:
    """What of a multiplying lane's energy is glitches."""
    shares = {}
    for library in ("sg13g2", "sky130", "gf180"):
        settled, total = (
            technology.price("synthesis", "lane multiply", f"energy_{kind}", library).value
            for kind in ("settled", "glitches")
        )
        shares[library] = 100 * (1 - settled / total)
    text = (
        "**More than half of what a lane with a 12-bit Booth multiplier takes is glitches**, by simulation with the"
        f" delay of every gate: {', '.join(f'{share:.0f} % on {library}' for library, share in shares.items())}."
    )
    return Claim(text, min(shares.values()) > 50, ("data/technology/synthesis.csv",))


def _logic_um2(name: str) -> float:
    """The synthesized area of a machine without memories: its lanes and the rest of the engine."""
    machine = accelerator.build(name)
    rest = technology.price("synthesis", f"engine {name}", "area", "sg13g2").value
    return machine.lanes * cost.lane(machine, "area", "sg13g2") + rest


def _layer(entry: Measured) -> str:
    case = entry.case
    threads = f", {case.threads} threads" if case.threads > 1 else ""
    return f"{entry.ratio.median:.2f} times (`{case.about['cell']}` of {case.about['hidden']} units{threads})"


def _processors(measured: list[Measured]) -> str:
    return enumeration(sorted({str(entry.benchmark.machine["processor"]) for entry in measured}))


def _files(measured: list[Measured]) -> tuple[str, ...]:
    names = [benchmarks.path(entry.benchmark.kind, entry.benchmark.measured).name for entry in measured]
    return tuple(dict.fromkeys(names))
