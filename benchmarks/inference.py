"""Batch-1 inference side by side: packed LSTMs against float32 and int8 of torch and onnxruntime, in one process.

    python benchmarks/inference.py --units 1000 --rounds 15 --out inference.json

Each contestant runs steps of one sequence of symbols in turn, round after round, so that all meet the same noise.
The time of a step is told as median and quartiles over rounds. Peers are the extra `bench`; those that are not
installed are left out. `NUMBA_CPU_FEATURES=-avx512f,...` shows a processor without AVX-512.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lowbit import cells, models, quantizers, store
from lowbit.datasets import Recipe
from lowbit.inference import choose, compiled, deploy, model
from lowbit.recurrent import Design
from lowbit.spec import RunSpec

SYMBOLS = 50  # of the Penn Treebank by characters
STEPS = 100  # of a call, where a contestant takes more than one
OURS = ("binary", "ternary", "uniform(bits=4)", "pow2(fraction_bits=3)", "uniform(bits=8)")


def network(quantizer: str, units: int, cell: str = "lstm") -> tuple[RunSpec, models.Network]:
    """An untrained network with batch norm whose statistics are those of drawn symbols: speed needs no training."""
    torch.manual_seed(0)
    spec = RunSpec(dataset="ptb_char", cell=cell, quantizer=quantizer, budget=f"paper(hidden={units})")
    made = bare(quantizer, units, cell)
    for norm in made.norms():
        norm.collect(True)
    with torch.no_grad():
        made(torch.randint(SYMBOLS, (4, 8)))
    for norm in made.norms():
        norm.collect(False)
    return spec, made.eval()


def bare(quantizer: str, units: int, cell: str = "lstm") -> models.Network:
    """The network as it is built."""
    design = Design(cells.build(cell), quantizers.build(quantizer), "batch_step", frozenset(("input", "recurrent")))
    return models.Network(SYMBOLS, SYMBOLS, Recipe(hidden=units, updates=1, steps=4), design)


def ours(quantizer: str, bits: int, kernel: str, units: int, folder: Path) -> dict[str, Callable[[], int]]:
    """A packed model over many steps a call, and one step a call with the readout."""
    file = folder / f"{quantizer}-{units}.safetensors"
    if not file.exists():
        spec, made = network(quantizer, units)
        deploy.write(made, spec, file)
    packed = model.load(file, bits, kernel)
    (layer,), x = packed.layers, np.arange(STEPS) % SYMBOLS
    state = layer.start()

    def layer_alone() -> int:
        layer.run(x, state, STEPS)
        return STEPS

    whole = [packed.start()]

    def with_readout() -> int:
        for symbol in x:
            _, whole[0] = packed.step(symbol, whole[0])
        return STEPS

    name = f"{quantizer}, {bits}-bit activations, {packed.kernels['layers.0.recurrent']}"
    return {name: layer_alone, f"{name}, step by step with readout": with_readout}


def torch_peers(units: int) -> dict[str, Callable[[], int]]:
    """`nn.LSTM` in float32, by oneDNN and by torch's own code, and its dynamic int8."""
    lstm, x = nn.LSTM(SYMBOLS, units).eval(), _one_hot()

    def run(module, onednn: bool) -> Callable[[], int]:
        def call() -> int:
            with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=onednn):
                module(x)
            return STEPS

        return call

    found = {"torch float32, oneDNN": run(lstm, True), "torch float32, native": run(lstm, False)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found["torch dynamic int8"] = run(torch.ao.quantization.quantize_dynamic(lstm, {nn.LSTM}), True)
    except (AttributeError, RuntimeError):  # gone from this version, or no engine here
        pass
    return found


def onnx_peers(units: int, folder: Path, threads: int) -> dict[str, Callable[[], int]]:
    """onnxruntime's LSTM in float32 and in dynamic int8, many steps a call and one."""
    try:
        import onnx
        import onnxruntime
        from onnxruntime.quantization import quantize_dynamic
    except ModuleNotFoundError:
        return {}
    _save_onnx(onnx, units, folder / "float.onnx")
    quantize_dynamic(folder / "float.onnx", folder / "int8.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    found = {}
    for name, file in (("float32", "float.onnx"), ("int8", "int8.onnx")):
        session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        for steps in (STEPS, 1):
            found[f"onnxruntime {name}, {steps} a call"] = _run_onnx(session, units, steps)
    return found


def _run_onnx(session, units: int, steps: int) -> Callable[[], int]:
    x = _one_hot().numpy()[:steps]
    state = [np.zeros((1, 1, units), np.float32)] * 2

    def call() -> int:
        h, c = state
        for _ in range(STEPS // steps):
            h, c = session.run(["h", "c"], {"x": x, "h0": h, "c0": c})
        return STEPS

    return call


def _save_onnx(onnx, units: int, file: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shapes = {"W": (1, 4 * units, SYMBOLS), "R": (1, 4 * units, units), "B": (1, 8 * units)}
    weights = [
        numpy_helper.from_array((random.standard_normal(shape) * 0.03).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    node = helper.make_node("LSTM", ["x", "W", "R", "B", "", "h0", "c0"], ["y", "h", "c"], hidden_size=units)
    state = (1, 1, units)
    shapes_in = {"x": ("time", 1, SYMBOLS), "h0": state, "c0": state}
    shapes_out = {"y": ("time", 1, 1, units), "h": state, "c": state}
    told = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        for shapes in (shapes_in, shapes_out)
    ]
    graph = helper.make_graph([node], "lstm", *told, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


def _one_hot() -> torch.Tensor:
    return nn.functional.one_hot(torch.arange(STEPS) % SYMBOLS, SYMBOLS).float()[:, None]


def measure(contestants: dict[str, Callable[[], int]], rounds: int, threads: int) -> dict[str, dict[str, float]]:
    """Microseconds a step: quartiles over rounds in which each runs for some 20 ms, in an order that changes.

    With one thread they are the processor's time for this process, to which other programs add nothing.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    order, random = list(contestants), np.random.default_rng(0)
    times = {name: [] for name in order}
    for call in contestants.values():
        call()
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            began, steps = clock(), 0
            while clock() - began < 0.02:
                steps += contestants[name]()
            times[name].append(1e6 * (clock() - began) / steps)
    return {
        name: dict(zip(("quartile1", "median", "quartile3"), statistics.quantiles(each, n=4), strict=True))
        for name, each in times.items()
    }


def sizes(units: int, folder: Path) -> dict[str, float]:
    """How many times smaller a packed file is than the float32 values of the same network."""
    found = {}
    for quantizer in OURS:
        file = folder / f"{quantizer}-{units}.safetensors"
        if file.exists():
            with torch.device("meta"):
                made = bare(quantizer, units)
            found[quantizer] = 4 * sum(p.numel() for p in made.parameters()) / file.stat().st_size
    return found


def main() -> None:
    """Prints a table of times and ratios, and writes them with the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--quantizers", nargs="+", default=OURS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of the peers")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        contestants = torch_peers(options.units) | onnx_peers(options.units, folder, options.threads)
        peers = list(contestants)
        for quantizer in options.quantizers:
            for bits in choose.BITS:
                contestants |= ours(quantizer, bits, "", options.units, folder)
                if quantizer in ("binary", "ternary") and "avx512f" in compiled.features():
                    contestants |= ours(quantizer, bits, "fields256", options.units, folder)
        times = measure(contestants, options.rounds, options.threads)
        small = sizes(options.units, folder)
    float32 = min(times[name]["median"] for name in peers if "float32" in name)
    int8 = min((times[name]["median"] for name in peers if "onnxruntime int8" in name), default=float("nan"))
    for name, each in times.items():
        each |= {"times_float32": float32 / each["median"], "times_int8": int8 / each["median"]}
        print(f"{each['median']:9.1f} us  {each['times_float32']:6.1f} x  {each['times_int8']:6.1f} x int8  {name}")
    print({name: round(ratio, 1) for name, ratio in small.items()})
    told = {"units": options.units, "threads": options.threads, "machine": store.machine(), "smaller": small}
    told["features"] = sorted(compiled.features())
    if options.out:
        store.write(options.out, json.dumps(told | {"microseconds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
