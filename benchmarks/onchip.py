"""Packs the trained network of a run, runs it on machines over its test text, and saves the measurements.

    python benchmarks/onchip.py dataset=ptb_char budget=cpu quantizer=ternary machine=ternary machine=streamed
    python benchmarks/onchip.py network=ptb_char-lstm-ternary machine=edge

The packed model is saved in `results/packed`, one record for each machine in `results/hardware`; the pages show these
records. The default machine has the name of the quantizer. `network` names a model that is already packed. It needs the
dataset, and Amaranth to simulate the hardware.
"""

import sys

import lowbit

LANE_BITS = 12  # of full-precision weights, as in the lanes of the machine `full`


def packed(run: lowbit.RunSpec) -> str:
    """Packs the network of a run; returns its name."""
    name = f"{run.dataset}-{run.cell}-{lowbit.studies.spec.slug(run.quantizer)}"
    if run.budget != run.folder:  # the recipe differs from that of the budget
        name += f"-{lowbit.studies.spec.slug(run.budget)}"
    bits = LANE_BITS if run.quantizer == "full" else 0
    lowbit.pack(run, lowbit.onchip.Pair(name).file, separate_steps=0, bits=bits)
    return name


def main(arguments: list[str]) -> None:
    """Measures every pair of network and machine, and prints the path of each record."""
    machines = [word.removeprefix("machine=") for word in arguments if word.startswith("machine=")]
    name = next((word.removeprefix("network=") for word in arguments if word.startswith("network=")), "")
    if not name:
        run = lowbit.studies.spec.read([word for word in arguments if not word.startswith("machine=")])
        name, machines = packed(run), machines or [run.quantizer]
    for machine in machines:
        pair = lowbit.onchip.Pair(name, machine)
        file, findings = lowbit.onchip.record.path(pair), lowbit.onchip.measure.measure(pair)
        lowbit.studies.store.write(file, lowbit.onchip.record.text(findings))
        print(file)


if __name__ == "__main__":
    main(sys.argv[1:])
