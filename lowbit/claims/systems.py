"""What benchmark records and synthesized prices bear out: speed on processors, area and energy of engines."""

import itertools

import pandas as pd

from lowbit import speed
from lowbit.claims.base import Claim, claim, listed
from lowbit.hardware import accelerator, cost, technology
from lowbit.hardware.cycles import Workload
from lowbit.speed import Benchmark, Case, Quartiles


@claim("intro", "speed")
def training_speed(frame: pd.DataFrame) -> Claim:
    """Training of normalized layers beside torch's plain ones."""
    found = [
        (benchmark, case, case.ratio("fused", "torch"))
        for benchmark in speed.scan("training").found
        for case in benchmark.cases
        if "fused" in case.seconds and case.about["norm"] != "none"
    ]
    least, most = (pick(found, key=lambda entry: entry[2].median) for pick in (min, max))
    slower = sum(ratio.median < 1 for _, _, ratio in found)
    sentence = (
        f"**A normalized low-bit layer trains about as fast as torch's plain one.** In float32 {_layer(least)} is the"
        f" slowest and {_layer(most)} the fastest, on {_processors(found)}; {slower} of {len(found)} cases are slower"
        " than torch's."
    )
    return Claim(sentence, least[2].median > 0.8 and most[2].median > 1, _measured(found))


@claim("intro", "speed")
def inference_speed(frame: pd.DataFrame) -> Claim:
    """The recurrent product of packed one- and two-bit networks beside int8 and float32 peers."""
    found = [
        (benchmark, case, group, case.ratio(f"{name}, 8-bit activations", group))
        for benchmark in speed.scan("inference").found
        for case in benchmark.cases
        for name, group in itertools.product(("binary", "ternary"), ("float32", "int8"))
    ]
    spans = {}
    for instructions in ("all", "AVX2"):
        for group in ("float32", "int8"):
            ratios = [
                ratio.median
                for _, case, peer, ratio in found
                if (case.about["instructions"], peer) == (instructions, group)
            ]
            spans[instructions, group] = f"{min(ratios):.2g} to {max(ratios):.2g}"
    sentence = (
        f"**A packed layer takes a step in less time than its peers.** With one or two bits a weight and 8-bit"
        f" activations it is {spans['all', 'float32']} times as fast as the fastest float32 peer and"
        f" {spans['all', 'int8']} times as fast as onnxruntime in int8 on {_processors(found)}; held to AVX2,"
        f" {spans['AVX2', 'float32']} and {spans['AVX2', 'int8']} times. This is the layer alone, from symbol to state:"
        " the readout and the choice of the next symbol come on top."
    )
    return Claim(sentence, all(ratio.median > 1 for *_, ratio in found), _measured(found))


@claim("intro", "hardware")
def storage_matters(frame: pd.DataFrame) -> Claim:
    """Where the area ratio of two engines comes from."""
    works = [Workload("lstm", 50, hidden) for hidden in (128, 512, 2048)]
    stages = {
        name: {stage.name: stage for stage in cost.waterfall(accelerator.build("full"), accelerator.build(name), works)}
        for name in ("binary", "ternary")
    }
    whole = [f"{work.hidden} units" for work in works]
    told = "; ".join(
        f"{name} {by_name['logic'].area:.1f} in logic, {by_name[whole[0]].area:.1f} to {by_name[whole[-1]].area:.1f}"
        f" with the weights of {works[0].hidden} to {whole[-1]}"
        for name, by_name in stages.items()
    )
    sentence = (
        "**With its weights an engine saves more area than its logic alone.** Against an engine with 12-bit weights,"
        f" times smaller: {told}. The areas are synthesized, without wires."
    )
    holds = all(by_name[name].area > by_name["logic"].area for by_name in stages.values() for name in whole)
    return Claim(sentence, holds, ("data/technology/synthesis.csv", "data/technology/memory.csv"))


@claim("hardware")
def glitches_cost(frame: pd.DataFrame) -> Claim:
    """What of a multiplier's energy is glitches."""
    shares = {}
    for library in ("sg13g2", "sky130", "gf180"):
        settled, whole = (
            technology.price("synthesis", "lane multiply", f"energy_{kind}", library).value
            for kind in ("settled", "glitches")
        )
        shares[library] = 100 * (1 - settled / whole)
    told = ", ".join(f"{share:.0f} % on {library}" for library, share in shares.items())
    sentence = f"**About half of what a 12-bit multiplier takes is glitches**: {told}."
    return Claim(sentence, all(40 < share < 60 for share in shares.values()), ("data/technology/synthesis.csv",))


def _layer(entry: tuple[Benchmark, Case, Quartiles]) -> str:
    _, case, ratio = entry
    threads = f" with {case.threads} threads" if case.threads > 1 else ""
    cell = str(case.about["cell"]).partition("(")[0].upper()
    return f"{cell} of {case.about['hidden']} units{threads} ({ratio.median:.2f} times as fast)"


def _processors(found: list[tuple]) -> str:
    return listed(sorted({str(entry[0].machine["processor"]) for entry in found}))


def _measured(found: list[tuple]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(speed.path(entry[0].kind, entry[0].measured).name for entry in found))
