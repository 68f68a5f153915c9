"""The tables of the pages on hardware: a network on a machine, its costs, and the checks of the engine."""

from IPython.display import Markdown

from lowbit.hardware import cost, cycles, libraries
from lowbit.inference import file
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.plots.hardware.lanes import BASE, LIBRARY, ledger, title
from lowbit.plots.markdown import properties, span, table


def summary(pair: Pair, findings: Findings) -> Markdown:
    """The network, the machine, and the results of the two."""
    machine, work, about = pair.accelerator, pair.work(), file.read(pair.file)[1]["spec"]
    count, activity, score = cycles.count(machine, work, 1), findings.activity, findings.score
    measured = score.get(str(machine.act_bits))
    text = f"{activity['symbols']:,} symbols of the {findings.text['split']} text"
    rows = {
        "network": f"{about['dataset']}, {work.cell} of {work.hidden} units, {about['quantizer']} weights",
        "packed model": f"{pair.file.stat().st_size / 1e3:.0f} kB, readout and scales among them",
        "machine": f"{machine.lanes} {machine.lane} lanes at {machine.clock_hz / 1e6:.0f} MHz",
        "isolated step": f"{count.cycles:,} cycles, {1e6 * cycles.seconds(machine, work):.2f} µs",
        "symbols per second": f"{machine.clock_hz / count.cycles:,.0f}",
        "lane utilization": f"{100 * cycles.utilisation(machine, work):.1f} %",
        "additions of a zero weight": f"{100 * activity['skipped'] / activity['used']:.1f} %, on {text}",
        "words that meet a zero activation": f"{100 * activity['quiet'] / activity['words']:.1f} %, on the same text",
        "score": f"{measured:.4f} {score['unit']}, on the same text" if measured else "–",
        "the same in real numbers": f"{score['real']:.4f} {score['unit']}",
    }
    return Markdown(properties(rows))


def costs(pair: Pair) -> Markdown:
    """Area and energy of the pair, by part."""
    machine, work = pair.accelerator, pair.work()
    area, energy, bank = cost.area(machine, work), cost.energy(machine, work), cost.weights(machine, work)
    macros = f"{bank.wide * bank.deep} macros of {bank.macro.words:,} × {bank.macro.bits} bits"
    parts = {
        "lanes": (area.lanes_um2, energy.lanes_pj),
        "post-processing unit": (area.unit_um2, energy.clock_pj),
        f"weights: {macros}": (area.weights_um2, energy.weights_pj),
        "all": (area.total_um2, energy.total_pj),
    }
    rows = [
        {"part": part, "mm²": um2 / 1e6, "nJ per step": span(pj.times(1e-3), ",.0f")}
        for part, (um2, pj) in parts.items()
    ]
    return Markdown(table(rows))


def proof(pair: Pair, findings: Findings) -> Markdown:
    """What was compared with what and how often; a record exists only where all were equal."""
    rows = [
        {
            "what": check["what"],
            "compared with": check["against"],
            "symbols": f"{check['steps']:,}",
            "outputs": f"{check['values']:,}",
            "cycles": f"{check['cycles']:,}",
            "differ": "0",
        }
        for check in findings.checks
    ]
    for library in libraries.catalogue():
        if lanes := ledger(library, pair.accelerator):
            what = f"{len(lanes)} lanes as gates of {library}"
            against = "golden sums, at every edge of their energy's run"
            rows.append(dict.fromkeys(rows[0], "–") | {"what": what, "compared with": against, "differ": "0"})
    faults = findings.faults
    text = f"Of {faults['weights changed']} codes of recurrent weights that were changed on purpose, one at a time, "
    return Markdown(f"{table(rows)}\n\n{text}{faults['noticed']} changed an output within {faults['symbols']} symbols.")


def vectorless(pair: Pair) -> Markdown:
    """The error of an estimate without operands, for a lane of 12-bit weights, a small one and their ratio."""
    lanes, small = (
        ledger(LIBRARY, pair.accelerator),
        "ternary" if pair.accelerator.arithmetic.title == BASE else pair.lane,
    )
    energies = {
        name: [lanes[name][f"energy_{kind}"] for kind in ("settled", "glitches", "vectorless")]
        for name in (BASE, small)
    }
    parts = [
        f"*{title(name)}* comes to {guess:.2f} pJ, which is {guess / settled:.1f} times what it takes without glitches"
        f" and {guess / glitches:.1f} times what it takes with all of them"
        for name, (settled, glitches, guess) in energies.items()
    ]
    *ratios, guess = (full / less for full, less in zip(energies[BASE], energies[small], strict=True))
    text = f"Without operands, on {LIBRARY}, {'; '.join(parts)}. Their ratio would be {guess:.1f}; it is "
    return Markdown(f"{text}{min(ratios):.1f} to {max(ratios):.1f}.")
