"""Compares whole steps, from a symbol to the next one, of packed LSTMs and of onnxruntime's int8, in one process.

    python benchmarks/steps.py

A step is one call: symbol in, logits out, the largest chosen in numpy. The peer has the same network in float32,
quantized by onnxruntime, with the same readout in float32. Text is written by sampling: the peer's loop draws as ours
does, and ours is one call. Contestants run in turn, round after round. The record is saved in `results/benchmarks`.
With one thread, times are processor times of this process, to which other programs add little.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import torch
from inference import SYMBOLS, Calls, measure, network

import lowbit

OURS = ("binary", "ternary")
LENGTH, TEMPERATURE = 100, 1.0  # symbols that are written in one call
STREAMS = 64  # sequences side by side, at `WIDE` units
WIDE = 512
BARS = {  # targets: times as fast as the peer, by instructions and contestant
    "AVX2": {"binary": 5, "ternary": 4.5, "binary, written": 8, "binary, 64 streams": 2},
    "AVX-512": {"binary": 7, "ternary": 6},
}


def peer(units: int, folder: Path, threads: int):
    """Returns a session of onnxruntime's int8 LSTM with a readout: symbols, h, c to logits, h, c."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import quantize_dynamic

    random = np.random.default_rng(0)
    shapes = {"W": (1, 4 * units, SYMBOLS), "R": (1, 4 * units, units), "B": (1, 8 * units)}
    shapes |= {"readout": (units, SYMBOLS), "bias": (SYMBOLS,)}
    arrays = {name: (random.standard_normal(shape) * 0.03).astype(np.float32) for name, shape in shapes.items()}
    arrays |= {"eye": np.eye(SYMBOLS, dtype=np.float32), "zero": np.array([0], np.int64)}
    nodes = [
        helper.make_node("Gather", ["eye", "x"], ["hot"]),
        helper.make_node("LSTM", ["hot", "W", "R", "B", "", "h0", "c0"], ["", "h", "c"], hidden_size=units),
        helper.make_node("Squeeze", ["h", "zero"], ["last"]),
        helper.make_node("Gemm", ["last", "readout", "bias"], ["y"]),
    ]
    state = (1, "batch", units)
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT64, (1, "batch"))]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, state) for name in ("h0", "c0")]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", SYMBOLS))]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, state) for name in ("h", "c")]
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "step", inputs, outputs, weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "float.onnx")
    quantize_dynamic(folder / "float.onnx", folder / "int8.onnx", op_types_to_quantize=["LSTM"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(folder / "int8.onnx", options, providers=["CPUExecutionProvider"])


def peers(units: int, folder: Path, threads: int) -> Calls:
    """Returns onnxruntime's int8 network by single steps: the largest logit chosen, or sampled; and side by side."""
    session, random = peer(units, folder, threads), np.random.default_rng(0)

    def steps(batch: int, choose):
        zeros = [np.zeros((1, batch, units), np.float32)] * 2

        def call() -> int:
            (h, c), x = zeros, np.zeros((1, batch), np.int64)
            for _ in range(LENGTH):
                y, h, c = session.run(["y", "h", "c"], {"x": x, "h0": h, "c0": c})
                x = choose(y).reshape(1, batch)
            return LENGTH

        return call

    def largest(y: np.ndarray) -> np.ndarray:
        return y.argmax(1)

    def sample(y: np.ndarray) -> np.ndarray:
        return (y / TEMPERATURE + random.gumbel(size=y.shape)).argmax(1)

    calls = {
        "onnxruntime int8": ({"group": "int8"}, steps(1, largest)),
        "onnxruntime int8, sampled": ({"group": "sampled"}, steps(1, sample)),
    }
    if units == WIDE:
        calls["onnxruntime int8, 64 streams"] = {"group": "streams"}, steps(STREAMS, largest)
    return calls


def ours(quantizer: str, units: int, folder: Path) -> Calls:
    """Returns the same three by a packed model with 8-bit activations."""
    file = folder / f"{quantizer}-{units}.safetensors"
    spec, made = network(quantizer, units)
    lowbit.inference.deploy.write(made, spec, file)
    packed = lowbit.load(file)

    def whole() -> int:
        symbol, state = 0, packed.start()
        for _ in range(LENGTH):
            y, state = packed.step(symbol, state)
            symbol = int(y.argmax())
        return LENGTH

    def streams() -> int:
        symbols, state = np.zeros(STREAMS, np.int64), packed.start(batch=STREAMS)
        for _ in range(LENGTH):
            y, state = packed.step(symbols, state)
            symbols = y.argmax(1)
        return LENGTH

    prompt = np.zeros(1, np.int64)

    def written() -> int:
        return len(packed.generate(prompt, LENGTH, TEMPERATURE))

    about = {"group": "ours", "quantizer": quantizer, "kernel": packed.kernels["layers.0.recurrent"]}
    calls = {quantizer: (about, whole), f"{quantizer}, written": (about, written)}
    return calls | ({f"{quantizer}, 64 streams": (about, streams)} if units == WIDE else {})


def contest(units: int, rounds: int, threads: int, folder: Path) -> lowbit.speed.Case:
    """Measures all contestants at one size."""
    contestants = peers(units, folder, threads)
    for quantizer in OURS:
        contestants |= ours(quantizer, units, folder)
    instructions = "AVX-512" if "avx512f" in lowbit.inference.loader.features() else "AVX2"
    groups = {"written": "sampled", "64 streams": "streams"}
    bars = {
        name: {groups.get(name.partition(", ")[2], "int8"): bar}
        for name, bar in BARS[instructions].items()
        if name in contestants and not (name.endswith("written") and units != 256)
    }
    about = {"cell": "lstm", "units": units, "symbols": SYMBOLS, "instructions": instructions}
    notes = {name: note for name, (note, _) in contestants.items()}
    return lowbit.speed.Case(about, threads, measure(contestants, rounds, threads), notes, bars)


def main() -> None:
    """Measures every size, prints a line for each contestant, and saves the record after each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=(256, 512, 1000))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of the peer")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = {"rounds": options.rounds, "threads": options.threads}
    benchmark = lowbit.speed.Benchmark(
        "steps", lowbit.speed.machine(), settings, lowbit.speed.limits(), [], [], {}, False
    )
    for units in options.units:
        with tempfile.TemporaryDirectory() as folder:
            benchmark.cases.append(contest(units, options.rounds, options.threads, Path(folder)))
        case = benchmark.cases[-1]
        print(f"{units} units")
        for name in case.seconds:
            ratios = [
                f"{case.ratio(name, group).median:6.2f} x {group}"
                for group in ("int8", "sampled", "streams")
                if case.ratio(name, group)
            ]
            print(f"{1e6 * case.time(name).median:9.1f} us  {name}: {', '.join(ratios)}", flush=True)
        lowbit.speed.save(benchmark)
    print(lowbit.speed.save(dataclasses.replace(benchmark, complete=True)))


if __name__ == "__main__":
    main()
