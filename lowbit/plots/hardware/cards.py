"""Tables of the pages on hardware: what meets what, what a step costs, and what was compared with what."""

import pandas as pd
from IPython.display import Markdown

from lowbit.hardware import cost, cycles, libraries
from lowbit.inference import file
from lowbit.onchip.pair import Pair
from lowbit.onchip.record import Findings
from lowbit.plots.hardware.chip import BASE, small
from lowbit.plots.hardware.gates import ledger, named
from lowbit.plots.report import markdown


def summary(pair: Pair, found: Findings) -> Markdown:
    """The network, the machine, and what comes of the two."""
    machine, work, about = pair.accelerator, pair.work(), file.read(pair.file)[1]["spec"]
    count = cycles.count(machine, work, 1)
    skipped, quiet = found.activity["skipped"], found.activity["quiet"]
    rows = {
        "network": f"{about['dataset']}, {work.cell} of {work.hidden} units, {about['quantizer']} weights",
        "packed model": f"{pair.file.stat().st_size / 1e3:.0f} kB, readout and scales among them",
        "machine": f"{machine.lanes} {machine.lane} lanes at {machine.clock_hz / 1e6:.0f} MHz",
        "a step by itself": f"{count.cycles:,} cycles, {1e6 * cycles.seconds(machine, work):.2f} µs",
        "symbols a second": f"{machine.clock_hz / count.cycles:,.0f}",
        "lane-cycles in use": f"{100 * cycles.utilisation(machine, work):.1f} %",
        "additions of a zero weight": f"{100 * skipped / found.activity['used']:.1f} %, on {_text(found)}",
        "words that meet a zero activation": f"{100 * quiet / found.activity['words']:.1f} %, on the same text",
        "score": f"{found.score[str(machine.act_bits)]:.4f} {found.score['unit']}, on the same text"
        if str(machine.act_bits) in found.score
        else "–",
        "the same in real numbers": f"{found.score['real']:.4f} {found.score['unit']}",
    }
    return _table(rows)


def costs(pair: Pair, library: str = "sg13g2") -> Markdown:
    """Area and energy of the pair, by part."""
    machine, work = pair.accelerator, pair.work()
    area, spent, bank = (tell(machine, work, library) for tell in (cost.area, cost.energy, _bank))
    rows = [
        {"part": "lanes", "mm²": area.lanes_um2 / 1e6, "nJ a step": _span(spent.lanes_pj)},
        {"part": "unit behind the lanes", "mm²": area.unit_um2 / 1e6, "nJ a step": _span(spent.clock_pj)},
        {"part": f"weights: {bank}", "mm²": area.weights_um2 / 1e6, "nJ a step": _span(spent.weights_pj)},
        {"part": "all", "mm²": area.total_um2 / 1e6, "nJ a step": _span(spent.total_pj)},
    ]
    return Markdown(markdown(pd.DataFrame(rows)))


def proof(pair: Pair, found: Findings) -> Markdown:
    """What was compared with what and how often; a record exists only where all were equal."""
    rows = [
        {
            "what": each["what"],
            "compared with": each["against"],
            "symbols": f"{each['steps']:,}",
            "outputs": f"{each['values']:,}",
            "cycles": f"{each['cycles']:,}",
            "differ": "0",
        }
        for each in found.checks
    ]
    for name in libraries.catalogue():
        told = ledger(name, pair.accelerator)
        if told:
            what = f"{len(told)} lanes as gates of {name}"
            like = "golden sums, at every edge of their energy's run"
            rows.append(dict.fromkeys(rows[0], "–") | {"what": what, "compared with": like, "differ": "0"})
    text = (
        f"Of {found.faults['weights changed']} codes of recurrent weights that were changed on purpose, one at a time, "
    )
    text += f"{found.faults['noticed']} changed an output within {found.faults['symbols']} symbols."
    return Markdown(f"{markdown(pd.DataFrame(rows))}\n\n{text}")


def blind(pair: Pair, library: str = "sg13g2") -> Markdown:
    """By how much an estimate without operands is off, for a lane of 12-bit weights, a small one and their ratio."""
    told, own = ledger(library, pair.accelerator), small(pair.accelerator)[0]
    full, less = told[BASE], told[pair.lane if own == pair.accelerator.lane else own]
    kinds = [f"energy_{kind}" for kind in ("settled", "glitches", "vectorless")]
    settled, glitches, guess = (full[kind] / less[kind] for kind in kinds)
    words = [
        f"*{named(name)}* comes to {row[kinds[2]]:.2f} pJ, which is {row[kinds[2]] / row[kinds[0]]:.1f} times what it "
        f"takes without glitches and {row[kinds[2]] / row[kinds[1]]:.1f} times what it takes with all of them"
        for name, row in ((BASE, full), (own, less))
    ]
    text = f"Without operands, on {library}, {words[0]}; {words[1]}. Their ratio would be {guess:.1f}; it is "
    return Markdown(text + f"{min(settled, glitches):.1f} to {max(settled, glitches):.1f}.")


def _text(found: Findings) -> str:
    return f"{found.activity['symbols']:,} symbols of the {found.text['split']} text"


def _bank(machine, work, library: str) -> str:
    bank = cost.weights(machine, work)
    return f"{bank.wide * bank.deep} macros of {bank.macro.words:,} × {bank.macro.bits} bits"


def _span(interval: cost.Interval) -> str:
    low, high = (f"{value / 1e3:,.0f}" for value in interval)
    return low if low == high else f"{low} to {high}"


def _table(rows: dict[str, str]) -> Markdown:
    return Markdown("| | |\n| :-- | :-- |\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items()))
