"""What benchmark records and synthesized prices bear out: speed on processors, area and energy of engines."""

import itertools

import pandas as pd

from lowbit.hardware import accelerator, cost, technology
from lowbit.hardware.cycles import Workload
from lowbit.plots.claims.base import Claim, claim, listed
from lowbit.speed import benchmarks
from lowbit.speed.benchmarks import Benchmark, Case, Quartiles

PEERS = {"float32": ("float32",), "int8": ("int8", "torch int8")}
SMALL = ("binary", "ternary")


@claim("intro", "speed")
def training_speed(frame: pd.DataFrame) -> Claim:
    """Training of normalized layers beside torch's plain ones."""
    found = [
        (benchmark, case, case.ratio("fused", "torch"))
        for benchmark in benchmarks.scan("training").records
        for case in benchmark.cases
        if "fused" in case.seconds
    ]
    least, most = (pick(found, key=lambda entry: entry[2].median) for pick in (min, max))
    faster = sum(ratio.median > 1 for _, _, ratio in found)
    sentence = (
        "**A layer normalized at every step trains about as fast as torch's plain one, or faster.** In float32"
        f" {faster} of {len(found)} cases are faster on {_processors(found)}: at most {_layer(most)}, at least"
        f" {_layer(least)}."
    )
    return Claim(sentence, least[2].median > 0.8 and faster > len(found) / 2, _measured(found))


@claim("intro", "speed")
def inference_speed(frame: pd.DataFrame) -> Claim:
    """Packed one- and two-bit layers beside the fastest int8 and float32 peers, and what comes on top of a layer."""
    found = [
        (benchmark, case, peer, case.ratio(f"{name}, 8-bit activations", *groups))
        for benchmark in benchmarks.scan("inference").records
        for case in benchmark.cases
        for name, (peer, groups) in itertools.product(SMALL, PEERS.items())
    ]
    spans = {
        (instructions, peer): _span([entry[3] for entry in found if _is(entry, instructions, peer)])
        for instructions, peer in itertools.product(("all", "AVX2"), PEERS)
    }
    whole = [
        (case.about["units"], name, 1e6 * case.time(f"{name}, 8-bit activations").median, 1e6 * case.time(full).median)
        for _, case, peer, _ in found
        for name in SMALL
        if peer == "int8" and (full := f"{name}, 8-bit activations, with readout") in case.seconds
    ]
    units, name, layer, step = min(whole)
    sentence = (
        "**A packed layer takes a step in less time than its peers.** With one or two bits a weight and 8-bit"
        f" activations it is {spans['all', 'float32']} times as fast as the fastest float32 peer and"
        f" {spans['all', 'int8']} times as fast as the fastest int8 peer on {_processors(found)}; with our code held to"
        f" AVX2, but not the peers, {spans['AVX2', 'float32']} and {spans['AVX2', 'int8']} times (medians). This is the"
        f" layer alone. With readout and one call a step a {name} network of {units} units takes {step:.0f} µs in place"
        f" of {layer:.1f}, so small layers lose most of it."
    )
    return Claim(sentence, all(ratio.median > 1 for *_, ratio in found), _measured(found))


@claim("intro", "hardware")
def storage_matters(frame: pd.DataFrame) -> Claim:
    """Where the area ratio of two engines comes from."""
    works = [Workload("lstm", 50, hidden) for hidden in (128, 512, 2048)]
    logic = {name: _logic_um2(name) for name in ("full", *SMALL)}
    stages = {
        name: {stage.name: stage for stage in cost.waterfall(accelerator.build("full"), accelerator.build(name), works)}
        for name in SMALL
    }
    whole = [f"{work.hidden} units" for work in works]
    told = "; ".join(
        f"{name} {logic['full'] / logic[name]:.1f} in logic, {by_name[whole[0]].area:.1f} to"
        f" {by_name[whole[-1]].area:.1f} with the weights of {works[0].hidden} to {whole[-1]}"
        for name, by_name in stages.items()
    )
    sentence = (
        "**With its weights an engine saves more area than its logic alone.** Against an engine with 12-bit weights"
        f" (Booth multipliers, sg13g2), times smaller: {told}. Logic is synthesized, memories are macros of the"
        " library, and wires are left out."
    )
    holds = all(
        by_name[units].area > logic["full"] / logic[name] for name, by_name in stages.items() for units in whole
    )
    return Claim(sentence, holds, ("data/technology/synthesis.csv", "data/technology/memory.csv"))


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
    told = ", ".join(f"{share:.0f} % on {library}" for library, share in shares.items())
    sentence = (
        "**More than half of what a lane with a 12-bit Booth multiplier takes is glitches**, by simulation with the"
        f" delay of every gate: {told}."
    )
    return Claim(sentence, all(share > 50 for share in shares.values()), ("data/technology/synthesis.csv",))


def _logic_um2(name: str) -> float:
    """The synthesized area of a machine without memories: its lanes and the rest of the engine."""
    machine = accelerator.build(name)
    rest = technology.price("synthesis", f"engine {name}", "area", "sg13g2").value
    return machine.lanes * cost.lane(machine, "area", "sg13g2") + rest


def _is(entry: tuple, instructions: str, peer: str) -> bool:
    return (entry[1].about["instructions"], entry[2]) == (instructions, peer)


def _span(ratios: list[Quartiles]) -> str:
    medians = [ratio.median for ratio in ratios]
    return f"{min(medians):.2g} to {max(medians):.2g}"


def _layer(entry: tuple[Benchmark, Case, Quartiles]) -> str:
    _, case, ratio = entry
    threads = f", {case.threads} threads" if case.threads > 1 else ""
    return f"{ratio.median:.2f} times (`{case.about['cell']}` of {case.about['hidden']} units{threads})"


def _processors(found: list[tuple]) -> str:
    return listed(sorted({str(entry[0].machine["processor"]) for entry in found}))


def _measured(found: list[tuple]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(benchmarks.path(entry[0].kind, entry[0].measured).name for entry in found))
