"""Bits of activations: what whole numbers lose, by stage and by score, and what they cost."""

import matplotlib.pyplot as plt

from lowbit.hardware import cost
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.plots.hardware.lanes import FAMILIES, LIBRARY, title
from lowbit.plots.style import BLUE, GREEN, INK, NARROW, PALE, RED, YELLOW, legend, log_axis
from lowbit.registry import InputError

STAGES = {"pre-activation": RED, "gate": YELLOW, "cell": GREEN, "hidden": BLUE}
FOUR_BITS = "multiply(bits=4)"


def errors(pair: Pair, findings: Findings) -> plt.Figure:
    """The root of the mean square error of each stage, on real text; half a unit in the last place is dashed."""
    figure, ax = plt.subplots(figsize=(NARROW, 3.3))
    widths = sorted(map(int, findings.errors))
    for stage, color in STAGES.items():
        entries = [findings.errors[str(bits)].get(stage) for bits in widths]
        if all(entries):
            ax.plot(widths, [entry["rms"] for entry in entries], "o-", color=color, ms=4, label=stage)
            ax.plot(widths, [entry["largest"] for entry in entries], color=color, lw=0.8, alpha=0.5)
    ax.plot(widths, [2.0**-bits for bits in widths], color=INK, lw=0.8, ls="--", label="half a unit in the last place")
    ax.axvline(pair.accelerator.act_bits, color=INK, lw=0.8, ls=":")
    ax.set_yscale("log")
    ax.set_xticks(widths)
    ax.set(xlabel="bits of activations", ylabel="error")
    legend(figure)
    return figure


def score(pair: Pair, findings: Findings) -> plt.Figure:
    """The score of the engine on real text against bits of activations; in real numbers it is the level line."""
    figure, ax = plt.subplots(figsize=(NARROW, 2.7))
    real, values = findings.score["real"], [findings.score[str(bits)] for bits in findings.bits]
    ax.axhline(real, color=PALE, lw=2, label="the same model in real numbers")
    ax.plot(findings.bits, values, "o-", color=BLUE, label="the engine")
    for bits, value in zip(findings.bits, values, strict=True):
        ax.annotate(f"{value - real:+.4f}", (bits, value), (3, 7), textcoords="offset points", size=8)
    ax.axvline(pair.accelerator.act_bits, color=INK, lw=0.8, ls=":")
    ax.set_xticks(findings.bits)
    ax.margins(x=0.12, y=0.25)
    ax.set(xlabel="bits of activations", ylabel=f"test, {findings.score['unit']}")
    legend(figure)
    return figure


def priced(machine: Machine, lane: str) -> list[Machine]:
    """As many lanes of a kind on A's widths, but for the bits of activations: every machine that has a price."""
    machines = []
    for bits in range(4, 17):
        variant = Machine(lane=lane, lanes=machine.lanes, clock_hz=machine.clock_hz, act_bits=bits)
        try:
            cost.area(variant, Workload("lstm", 1, 1), LIBRARY)
        except InputError:
            continue
        machines.append(variant)
    return machines


def prices(pair: Pair, findings: Findings) -> plt.Figure:
    """Area and energy of the logic for each kind of lane against the bits of activations, above the score."""
    machine, work = pair.accelerator, pair.work()
    figure, axes = plt.subplots(3, 1, figsize=(NARROW, 6.2), sharex=True, height_ratios=(3, 3, 2))
    kinds = FAMILIES | {FOUR_BITS: (title(FOUR_BITS), INK)}
    for place, (lane, (label, color)) in enumerate(kinds.items()):
        current, machines = lane == pair.lane, priced(machine, lane)
        widths = [variant.act_bits for variant in machines]
        areas = [cost.area(variant, work, LIBRARY) for variant in machines]
        logic = [(area.lanes_um2 + area.unit_um2) / 1e6 for area in areas]
        axes[0].plot(widths, logic, ".-", color=color, lw=2 if current else 0.9, label=label)
        energies = [cost.energy(variant, work, LIBRARY) for variant in machines]
        ends = [(energy.lanes_pj + energy.clock_pj).times(1e-3) for energy in energies]
        x = [bits + 0.14 * (place - (len(kinds) - 1) / 2) for bits in widths]
        axes[1].vlines(x, *zip(*ends, strict=True), color=color, lw=4 if current else 2.5)
    axes[2].axhline(findings.score["real"], color=PALE, lw=2)
    axes[2].plot(findings.bits, [findings.score[str(bits)] for bits in findings.bits], "o-", color=BLUE, ms=4)
    labels = ("logic, mm²", "logic, nJ per step", "test,\n" + findings.score["unit"].replace(" per ", "\nper "))
    for ax, label in zip(axes, labels, strict=True):
        ax.set(ylabel=label)
        ax.axvline(machine.act_bits, color=INK, lw=0.8, ls=":")
    axes[0].set_ylim(0, None)
    log_axis(axes[1].yaxis)
    axes[2].margins(y=0.25)
    axes[2].set_xticks(sorted({*widths, *findings.bits}))
    axes[2].set_xlabel("bits of activations")
    legend(figure)
    return figure
