"""What whole numbers lose: errors by stage, and the score of the task, against the bits of activations."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lowbit.charts import INK, LANES, PALE, UNIT, WAIT, WEIGHTS, WIDTH
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings

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
    ax.axvline(pair.built.act_bits, color=INK, lw=0.8, ls=":")
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
    ax.axvline(pair.built.act_bits, color=INK, lw=0.8, ls=":")
    ax.set_xticks(found.bits)
    ax.margins(x=0.12, y=0.25)
    ax.set(xlabel="bits of activations", ylabel=f"test, {found.score['unit']}")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure
