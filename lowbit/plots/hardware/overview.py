"""The figures of the chapter on hardware: what the engine does cycle by cycle, and what its parts cost."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from lowbit.hardware import accelerator, cost, cycles, cyclesim, synthetic
from lowbit.hardware.accelerator import Machine
from lowbit.hardware.cycles import Workload
from lowbit.plots.hardware.cycles import EVENTS
from lowbit.plots.style import BLUE, INK, PALE, WIDTH, YELLOW, stack

SHOWN = ("word", "blocked", "transfer", "drain", "write")


def timeline() -> plt.Figure:
    """One step of a small LSTM on few lanes: the events of each cycle."""
    program = synthetic.program(Machine(lanes=24), "lstm", inputs=8, hidden=16, symbols=True)
    run = cyclesim.simulate(program, synthetic.stimulus(program, 1)[:, 0], watched=200)
    rows = np.array([run.trace.when(event)[: run.counts.cycles] for event in SHOWN])
    figure, ax = plt.subplots(figsize=(WIDTH, 1.8))
    ax.pcolormesh(rows[::-1], cmap=ListedColormap(["white", BLUE]), edgecolors=PALE, linewidth=0.2)
    ax.set_yticks(np.arange(len(SHOWN)) + 0.5, [EVENTS[event][0] for event in reversed(SHOWN)])
    ax.set_xlabel("cycle of the step")
    return figure


def utilisation() -> plt.Figure:
    """Lane utilization against the lanes: closed form as lines, cycle model as dots."""
    stepped = (16, 60, 100, 256)
    lanes = np.unique([*np.geomspace(8, 4096, 120).astype(int), *stepped])
    figure, ax = plt.subplots(figsize=(WIDTH, 2.8))
    for shade, hidden in zip(np.linspace(0.35, 1.0, 4), (64, 256, 512, 2048), strict=True):
        work = Workload("lstm", 50, hidden)
        shares = [100 * cycles.utilisation(Machine(lanes=int(count)), work) for count in lanes]
        ax.plot(lanes, shares, color=BLUE, alpha=shade, label=f"{hidden} units")
    for count in stepped:
        program = synthetic.program(Machine(lanes=count), "lstm", 50, 64, symbols=True)
        counts = cyclesim.simulate(program, synthetic.stimulus(program, 1)[:, 0]).counts
        ax.plot(count, 100 * counts.used / (counts.cycles * count), "o", color=INK, ms=4)
    ax.set_xscale("log", base=2)
    ax.set(xlabel="lanes", ylabel="lane utilization, %", ylim=(0, 102))
    ax.legend()
    return figure


def parts() -> plt.Figure:
    """Area and energy of a step by part, for engines of 12-bit, power-of-two, ternary and binary weights."""
    work, names, colors = Workload("lstm", 50, 512), ("full", "pow2", "ternary", "binary"), (BLUE, YELLOW, PALE)
    figure, (area_ax, energy_ax) = plt.subplots(1, 2, figsize=(WIDTH, 2.6), sharey=True)
    for y, name in enumerate(names):
        machine = accelerator.build(name)
        area, energy = cost.area(machine, work), cost.energy(machine, work)
        areas = {"lanes": area.lanes_um2, "post-processing": area.unit_um2, "weights": area.weights_um2}
        energies = {"lanes": energy.lanes_pj.high, "clock": energy.clock_pj.high, "weights": energy.weights_pj.high}
        for ax, values in ((area_ax, areas), (energy_ax, energies)):
            stack(ax, y, {part: value / 1e6 for part, value in values.items()}, colors, height=0.6)
        energy_ax.plot([end / 1e6 for end in energy.total_pj], [y, y], color=INK, marker="|", lw=1)
    area_ax.set_yticks(range(len(names)), names)
    area_ax.set_xlabel("area, mm²")
    energy_ax.set_xlabel("energy of a step, µJ")
    for ax in (area_ax, energy_ax):
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[:3], labels[:3], loc="upper right")
    return figure
