"""Compares packed LSTMs at batch 1 with float32 and int8 LSTMs of torch and onnxruntime, in one process.

    python benchmarks/inference.py

The contestants run steps of one sequence of symbols in turn, round after round, so that all meet the same noise. The
record is saved in `results/benchmarks` after each size, so an interruption loses one size at most. The peers come with
the extra `bench`; peers that are not installed are left out. With one thread, times are processor times of this
process, to which other programs add little. A second process measures our kernels without AVX-512; its peers keep it.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import lowbit

SYMBOLS = 50  # of the Penn Treebank by characters
BITS = lowbit.inference.choose.BITS  # of activations
STEPS = 100  # per call, where a contestant takes more than one
OURS = ("binary", "ternary", "uniform(bits=4)", "pow2(fraction_bits=3)", "uniform(bits=8)")
NARROW = "AVX2"  # the instructions without AVX-512
BARS = {  # targets for a step with 8-bit activations: by instructions, quantizer and units, the factor over each group
    ("all", "binary", 1000): {"float32": 22, "int8": 6},
    ("all", "ternary", 1000): {"float32": 15, "int8": 4},
    ("all", "uniform(bits=4)", 1000): {"int8": 1},
    ("all", "pow2(fraction_bits=3)", 1000): {"int8": 1},
    ("all", "binary", 2000): {"float32": 35},
    ("all", "ternary", 2000): {"float32": 20},
    (NARROW, "binary", 1000): {"float32": 6},
    (NARROW, "ternary", 1000): {"float32": 6},
}
SMALLER = {("binary", 1000): 21, ("ternary", 1000): 15}  # targets: how many times smaller than float32 a file is
FIRST_USE = {"empty": 20.0, "filled": 0.5}  # targets in seconds beyond imports: with compilation, and without

Calls = dict[str, tuple[dict, Callable[[], int]]]  # by contestant: its notes, and a function that takes steps


def network(quantizer: str, units: int, cell: str = "lstm") -> tuple[lowbit.RunSpec, lowbit.layers.Network]:
    """Returns an untrained network whose batch norm has the statistics of random symbols: speed needs no training."""
    torch.manual_seed(0)
    spec = lowbit.RunSpec(dataset="ptb_char", cell=cell, quantizer=quantizer, budget=f"paper(hidden={units})")
    network = bare(quantizer, units, cell)
    for norm in network.norms():
        norm.collect(True)
    with torch.no_grad():
        network(torch.randint(SYMBOLS, (4, 8)))
    for norm in network.norms():
        norm.collect(False)
    return spec, network.eval()


def bare(quantizer: str, units: int, cell: str = "lstm") -> lowbit.layers.Network:
    """Returns the network without statistics."""
    kinds = lowbit.layers.cells.build(cell), lowbit.quantizers.build(quantizer)
    design = lowbit.layers.Design(*kinds, "batch_step", frozenset(("input", "recurrent")))
    return lowbit.layers.Network(SYMBOLS, SYMBOLS, lowbit.datasets.Recipe(hidden=units, updates=1, steps=4), design)


def ours(quantizer: str, bits: int, units: int, folder: Path) -> Calls:
    """Returns a packed model that takes many steps a call; with 8 bits, also one step a call with the readout."""
    file = folder / _file(quantizer, units)
    if not file.exists():
        spec, trained = network(quantizer, units)
        lowbit.inference.write(trained, spec, file)
    packed = lowbit.load(file, bits)
    (layer,), x = packed.layers, np.arange(STEPS) % SYMBOLS
    state = layer.start()

    def layer_alone() -> int:
        layer.run(x, state, STEPS)
        return STEPS

    whole = [packed.start()]

    def with_readout() -> int:
        for symbol in x.tolist():
            _, whole[0] = packed.step(symbol, whole[0])
        return STEPS

    about = {"group": "ours", "quantizer": quantizer, "bits": bits, "kernel": packed.kernels["layers.0.recurrent"]}
    about["weight_bytes"] = layer.h.nbytes
    calls = {f"{quantizer}, {bits}-bit activations": (about, layer_alone)}
    if bits == BITS[0]:
        calls[f"{quantizer}, {bits}-bit activations, with readout"] = (about | {"group": "readout"}, with_readout)
    return calls


def torch_peers(units: int) -> Calls:
    """Returns `nn.LSTM` in float32, by oneDNN and by torch's own code, a loop over `nn.LSTMCell`, and dynamic int8."""
    lstm, cell, x = nn.LSTM(SYMBOLS, units).eval(), nn.LSTMCell(SYMBOLS, units), _one_hot()
    float32, int8 = (
        {"group": name, "weight_bytes": n * 4 * units**2} for name, n in (("float32", 4), ("torch int8", 1))
    )

    def run(module, onednn: bool) -> Callable[[], int]:
        def call() -> int:
            torch.backends.mkldnn.enabled = onednn
            with torch.inference_mode():
                module(x)
            return STEPS

        return call

    def loop() -> int:
        state, torch.backends.mkldnn.enabled = None, True
        with torch.inference_mode():
            for row in x:
                state = cell(row, state)
        return STEPS

    calls = {
        "torch float32, oneDNN": (float32, run(lstm, True)),
        "torch float32, native": (float32, run(lstm, False)),
        "torch float32, a loop over LSTMCell": (float32, loop),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outer = nn.Sequential(lstm)  # only the children of a module are quantized
            (quantized,) = torch.ao.quantization.quantize_dynamic(outer, {nn.LSTM})
            calls["torch int8, dynamic"] = (int8, run(quantized, True))
    except (AttributeError, RuntimeError):  # removed from this version of torch, or no engine on this machine
        pass
    return calls


def onnx_peers(units: int, folder: Path, threads: int) -> Calls:
    """Returns onnxruntime's LSTM in float32 and in dynamic int8, with many steps a call and with one."""
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
    calls = {}
    for name, file, size in (("float32", "float.onnx", 4), ("int8", "int8.onnx", 1)):
        session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        for steps in (STEPS, 1):
            about = {"group": name, "weight_bytes": size * 4 * units**2}
            calls[f"onnxruntime {name}, {steps} a call"] = about, _run_onnx(session, units, steps)
    return calls


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
    values = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        for shapes in (shapes_in, shapes_out)
    ]
    graph = helper.make_graph([node], "lstm", *values, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


def _one_hot() -> torch.Tensor:
    return nn.functional.one_hot(torch.arange(STEPS) % SYMBOLS, SYMBOLS).float()[:, None]


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _file(quantizer: str, units: int) -> str:
    return f"{quantizer}-{units}.safetensors"


def measure(contestants: Calls, rounds: int, threads: int) -> dict[str, list[float]]:
    """Returns the seconds per step of each round; in a round each contestant runs for some 20 ms, in random order."""
    clock = time.process_time if threads == 1 else time.perf_counter
    order, random = list(contestants), np.random.default_rng(0)
    times = {name: [] for name in order}
    for _, call in contestants.values():
        call()
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            began, steps = clock(), 0
            while clock() - began < 0.02:
                steps += contestants[name][1]()
            times[name].append(float(f"{(clock() - began) / steps:.4g}"))
    return times


def contest(units: int, quantizers: list[str], rounds: int, threads: int, folder: Path) -> lowbit.speed.Case:
    """Measures all contestants at one size, with the instructions that this process may use."""
    instructions = NARROW if "NUMBA_CPU_FEATURES" in os.environ else "all"
    contestants = torch_peers(units) | onnx_peers(units, folder, threads)
    for quantizer in quantizers:
        for bits in BITS:
            contestants |= ours(quantizer, bits, units, folder)
    about = {"cell": "lstm", "units": units, "symbols": SYMBOLS, "instructions": instructions}
    notes = {name: note for name, (note, _) in contestants.items()}
    bars = {
        f"{quantizer}, {BITS[0]}-bit activations": BARS.get((instructions, quantizer, units), {})
        for quantizer in quantizers
    }
    return lowbit.speed.Case(about, threads, measure(contestants, rounds, threads), notes, bars)


def files(units: int, quantizers: list[str], folder: Path) -> list[dict]:
    """Returns the bytes of the packed files of one size, and of the float32 values of the same network."""
    rows = []
    for quantizer in quantizers:
        with torch.device("meta"):
            full = 4 * sum(p.numel() for p in bare(quantizer, units).parameters())
        size = (folder / _file(quantizer, units)).stat().st_size
        row = {"quantizer": quantizer, "units": units, "bytes": size, "float32_bytes": full}
        rows.append(row | ({"bar": SMALLER[quantizer, units]} if (quantizer, units) in SMALLER else {}))
    return rows


START = """
import time
began = time.perf_counter()
import lowbit
load = lowbit.load
imported = time.perf_counter()
packed = load({file!r})
packed.step(7, packed.start())
done = time.perf_counter()
import sys
print(imported - began, done - imported, "torch" in sys.modules)
"""


def starts(quantizer: str, file: Path, repeats: int = 3) -> list[dict]:
    """Measures a process until its first step: seconds of its imports and of the rest, with and without compilation."""
    outputs = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(1 + repeats):
            command = [sys.executable, "-c", START.format(file=str(file))]
            settings = {"env": os.environ | {"NUMBA_CACHE_DIR": cache}, "check": True}
            outputs.append(subprocess.run(command, capture_output=True, text=True, **settings).stdout.split())
    rows = []
    for name, runs in (("empty", outputs[:1]), ("filled", outputs[1:])):
        imports, rest = (round(statistics.median(float(run[i]) for run in runs), 3) for i in (0, 1))
        row = {"quantizer": quantizer, "cache": name, "import_seconds": imports, "seconds": rest}
        rows.append(row | {"torch": runs[0][2] == "True", "bar": FIRST_USE[name]})
    return rows


def narrow(options: argparse.Namespace, folder: Path) -> list[lowbit.speed.Case]:
    """Measures the same in a process that may not use AVX-512; returns nothing where the machine has no AVX-512."""
    import llvmlite.binding as llvm

    if "avx512f" not in lowbit.inference.loader.features():
        return []
    has = (name for name, there in llvm.get_host_cpu_features().items() if there)
    features = ",".join(f"{'-' if name.startswith(('avx512', 'amx', 'avx10')) else '+'}{name}" for name in has)
    file = folder / "narrow.json"
    arguments = [
        "--quantizers",
        "binary",
        "ternary",
        "--units",
        *map(str, options.units),
        "--rounds",
        str(options.rounds),
    ]
    command = [sys.executable, __file__, *arguments, "--only-cases", str(file)]
    subprocess.run(command, check=True, env=os.environ | {"NUMBA_CPU_FEATURES": features})
    return [lowbit.speed.Case(**case) for case in json.loads(file.read_text())]


def show(case: lowbit.speed.Case) -> None:
    """Prints a line for each contestant."""
    print(f"{case.about['units']} units, instructions: {case.about['instructions']}")
    for name in case.seconds:
        ratios = [case.ratio(name, group) for group in ("float32", "int8")]
        factors = "".join(f"{ratio.median:7.1f} x" if ratio else "      –  " for ratio in ratios)
        print(f"{1e6 * case.time(name).median:9.1f} us {factors}  {name}", flush=True)


def run(options: argparse.Namespace, folder: Path) -> None:
    """Measures every size, prints the results, and saves the record after each."""
    settings = {"rounds": options.rounds, "threads": options.threads}
    absent = [f"{name}: not installed" for name in ("onnx", "onnxruntime") if not _installed(name)]
    machine, limits = lowbit.speed.machine(), lowbit.speed.limits()
    benchmark = lowbit.speed.Benchmark("inference", machine, settings, limits, absent, [], {}, False)
    benchmark.tables["files"] = []
    for units in options.units:
        benchmark.cases.append(contest(units, options.quantizers, options.rounds, options.threads, folder))
        benchmark.tables["files"] += files(units, options.quantizers, folder)
        lowbit.speed.save(benchmark)
        show(benchmark.cases[-1])
    units = 1000 if 1000 in options.units else options.units[0]
    benchmark.tables["start_up"] = [row for q in options.quantizers[:2] for row in starts(q, folder / _file(q, units))]
    lowbit.speed.save(benchmark)
    print(*benchmark.tables["files"], *benchmark.tables["start_up"], sep="\n", flush=True)
    benchmark.cases.extend(narrow(options, folder))
    print(f"left out: {absent or 'nothing'}\n{lowbit.speed.save(dataclasses.replace(benchmark, complete=True))}")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=(256, 512, 1000, 2000))
    parser.add_argument("--quantizers", nargs="+", default=OURS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of the peers")
    parser.add_argument("--only-cases", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if not options.only_cases:
            run(options, folder)
            return
        cases = []
        for units in options.units:
            cases.append(contest(units, options.quantizers, options.rounds, options.threads, folder))
            show(cases[-1])
        lowbit.studies.store.write(options.only_cases, json.dumps([dataclasses.asdict(case) for case in cases]))


if __name__ == "__main__":
    main()
