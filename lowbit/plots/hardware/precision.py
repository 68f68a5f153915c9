"""Bits of activations: what whole numbers lose, by stage and by score, and what they cost."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowbit.hardware import cost
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.plots.hardware import INK, LANES, PALE, UNIT, WAIT, WEIGHTS, WIDTH, gates, plain
from lowbit.plots.hardware.chip import FAMILIES, NAMES
from lowbit.registry import InputError

STAGES = {"pre-activation": WAIT, "gate": UNIT, "cell": WEIGHTS, "hidden": LANES}


def errors(pair: Pair, found: Findings) -> Figure:
    """The root of the mean square error of each stage, on real text; half a last place is dashed."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.3))
    bits = sorted(map(int, found.errors))
    for stage, color in STAGES.items():
        told = [found.errors[str(each)].get(stage) for each in bits]
        if all(told):
            ax.plot(bits, [each["rms"] for each in told], "o-", color=color, ms=4, label=stage)
            ax.plot(bits, [each["largest"] for each in told], color=color, lw=0.8, alpha=0.5)
    ax.plot(bits, [2.0**-each for each in bits], color=INK, lw=0.8, ls="--", label="half a last place")
    ax.axvline(pair.accelerator.act_bits, color=INK, lw=0.8, ls=":")
    ax.set_yscale("log")
    ax.set_xticks(bits)
    ax.set(xlabel="bits of activations", ylabel="error")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def score(pair: Pair, found: Findings) -> Figure:
    """The score of the engine on real text against bits of activations; in real numbers it is the level line."""
    figure, ax = plt.subplots(figsize=(WIDTH, 2.7))
    real, values = found.score["real"], [found.score[str(bits)] for bits in found.bits]
    ax.axhline(real, color=PALE, lw=2, label="the same model in real numbers")
    ax.plot(found.bits, values, "o-", color=LANES, label="the engine")
    for bits, value in zip(found.bits, values, strict=True):
        ax.annotate(f"{value - real:+.4f}", (bits, value), (3, 7), textcoords="offset points", size=8)
    ax.axvline(pair.accelerator.act_bits, color=INK, lw=0.8, ls=":")
    ax.set_xticks(found.bits)
    ax.margins(x=0.12, y=0.25)
    ax.set(xlabel="bits of activations", ylabel=f"test, {found.score['unit']}")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


def priced(machine: Machine, lane: str, library: str) -> list[Machine]:
    """As many lanes of a kind on A's widths, but for the bits of activations: every machine that has a price."""
    found = []
    for bits in range(4, 17):
        one = Machine(lane=lane, lanes=machine.lanes, clock_hz=machine.clock_hz, act_bits=bits)
        try:
            cost.area(one, Workload("lstm", 1, 1), library)
        except InputError:
            continue
        found.append(one)
    return found


def prices(pair: Pair, found: Findings, library: str = "sg13g2") -> Figure:
    """Area and energy of the logic for each kind of lane against the bits of activations, above the score."""
    machine, work = pair.accelerator, pair.work()
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 6.2), sharex=True, height_ratios=(3, 3, 2))
    kinds = FAMILIES | {"multiply(bits=4)": INK}
    for place, (lane, color) in enumerate(kinds.items()):
        own, each = lane == pair.lane, priced(machine, lane, library)
        bits = [one.act_bits for one in each]
        areas = [cost.area(one, work, library) for one in each]
        logic = [(area.lanes_um2 + area.unit_um2) / 1e6 for area in areas]
        label = NAMES.get(lane, gates.named(lane))
        axes[0].plot(bits, logic, ".-", color=color, lw=2 if own else 0.9, label=label)
        spent = [cost.energy(one, work, library) for one in each]
        ends = [(step.lanes_pj + step.clock_pj).times(1e-3) for step in spent]
        spots = [bit + 0.14 * (place - (len(kinds) - 1) / 2) for bit in bits]
        axes[1].vlines(spots, *zip(*ends, strict=True), color=color, lw=4 if own else 2.5)
    axes[2].axhline(found.score["real"], color=PALE, lw=2)
    axes[2].plot(found.bits, [found.score[str(bits)] for bits in found.bits], "o-", color=LANES, ms=4)
    labels = ("logic, mm²", "logic, nJ a step", "test,\n" + found.score["unit"].replace(" per ", "\nper "))
    for ax, label in zip(axes, labels, strict=True):
        ax.set(ylabel=label)
        ax.axvline(machine.act_bits, color=INK, lw=0.8, ls=":")
    axes[0].set_ylim(0, None)
    axes[1].set_yscale("log")
    plain(axes[1].yaxis)
    axes[2].margins(y=0.25)
    axes[2].set_xticks(sorted({*bits, *found.bits}))
    axes[2].set_xlabel("bits of activations")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure
