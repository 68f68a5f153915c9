"""Packs the trained network of a run, runs it on machines over its test text, and files what was found.

    python benchmarks/onchip.py dataset=ptb_char budget=cpu quantizer=ternary machine=ternary machine=streamed
    python benchmarks/onchip.py network=ptb_char-lstm-ternary machine=edge

The model goes to `results/packed`, a record for each machine to `results/hardware`; pages are made from these.
Without a machine it is the one of the quantizer's name; a `network` is packed already. It needs the dataset, and
Amaranth for the hardware itself.
"""

import sys

from lowbit.inference import deploy
from lowbit.onchip import measure, record
from lowbit.onchip.pair import Pair, folder
from lowbit.studies import spec, store
from lowbit.studies.spec import RunSpec

LANE_BITS = 12  # of weights in full precision, as the lanes of the machine `full` have them


def packed(run: RunSpec) -> str:
    """Packs the network of a run; gives its name."""
    name = f"{run.dataset}-{run.cell}-{spec.slug(run.quantizer)}"
    if run.budget != run.folder:  # another recipe than that of the budget
        name += f"-{spec.slug(run.budget)}"
    deploy.pack(
        run, folder() / f"{name}.safetensors", separate_steps=0, bits=LANE_BITS if run.quantizer == "full" else 0
    )
    return name


def main(words: list[str]) -> None:
    """Prints each record's place."""
    machines = [word.removeprefix("machine=") for word in words if word.startswith("machine=")]
    name = next((word.removeprefix("network=") for word in words if word.startswith("network=")), "")
    if not name:
        run = spec.read([word for word in words if not word.startswith("machine=")])
        name, machines = packed(run), machines or [run.quantizer]
    for machine in machines:
        pair = Pair(name, machine)
        store.write(record.path(pair), record.text(measure.measure(pair)))
        print(record.path(pair))


if __name__ == "__main__":
    main(sys.argv[1:])
