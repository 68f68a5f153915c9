"""Batch-1 inference side by side: packed LSTMs against float32 and int8 of torch and onnxruntime, in one process.

    python benchmarks/inference.py

Each contestant runs steps of one sequence of symbols in turn, round after round, so that all meet the same noise. The
record goes to `results/benchmarks` after each size, so that what ends this leaves what is done. Peers are the extra
`bench`; those that are not installed are left out. With one thread a time is the processor's time for this process,
to which other programs add little. A second process is told to leave AVX-512 alone; its peers are not.
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

from lowbit import quantizers
from lowbit.datasets import Recipe
from lowbit.inference import choose, deploy, loader, model
from lowbit.layers import cells, networks
from lowbit.layers.recurrent import Design
from lowbit.speed import benchmarks, roofline
from lowbit.studies import store
from lowbit.studies.spec import RunSpec

SYMBOLS = 50  # of the Penn Treebank by characters
STEPS = 100  # of a call, where a contestant takes more than one
OURS = ("binary", "ternary", "uniform(bits=4)", "pow2(fraction_bits=3)", "uniform(bits=8)")
NARROW = "AVX2"  # what is left without AVX-512
BARS = {  # of a step with activations of 8 bits: instructions, quantizer and units, then group and times
    ("all", "binary", 1000): {"float32": 22, "int8": 6},
    ("all", "ternary", 1000): {"float32": 15, "int8": 4},
    ("all", "uniform(bits=4)", 1000): {"int8": 1},
    ("all", "pow2(fraction_bits=3)", 1000): {"int8": 1},
    ("all", "binary", 2000): {"float32": 35},
    ("all", "ternary", 2000): {"float32": 20},
    (NARROW, "binary", 1000): {"float32": 6},
    (NARROW, "ternary", 1000): {"float32": 6},
}
SMALLER = {("binary", 1000): 21, ("ternary", 1000): 15}  # times smaller than float32 a file was to be
FIRST_USE = {"empty": 20.0, "filled": 0.5}  # the bars of seconds beyond imports, compiling and after

Calls = dict[str, tuple[dict, Callable[[], int]]]  # by contestant: what is known of it, and what takes steps


def network(quantizer: str, units: int, cell: str = "lstm") -> tuple[RunSpec, networks.Network]:
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


def bare(quantizer: str, units: int, cell: str = "lstm") -> networks.Network:
    """The network as it is built."""
    design = Design(cells.build(cell), quantizers.build(quantizer), "batch_step", frozenset(("input", "recurrent")))
    return networks.Network(SYMBOLS, SYMBOLS, Recipe(hidden=units, updates=1, steps=4), design)


def ours(quantizer: str, bits: int, units: int, folder: Path) -> Calls:
    """A packed model over many steps a call, and with 8 bits also one step a call with the readout."""
    file = folder / _file(quantizer, units)
    if not file.exists():
        spec, made = network(quantizer, units)
        deploy.write(made, spec, file)
    packed = model.load(file, bits)
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
    found = {f"{quantizer}, {bits}-bit activations": (about, layer_alone)}
    if bits == choose.BITS[0]:
        found[f"{quantizer}, {bits}-bit activations, with readout"] = (about | {"group": "readout"}, with_readout)
    return found


def torch_peers(units: int) -> Calls:
    """`nn.LSTM` in float32, by oneDNN and by torch's own code, a loop over `nn.LSTMCell`, and dynamic int8."""
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

    found = {
        "torch float32, oneDNN": (float32, run(lstm, True)),
        "torch float32, native": (float32, run(lstm, False)),
        "torch float32, a loop over LSTMCell": (float32, loop),
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outer = nn.Sequential(lstm)  # only what is inside of a module is quantized
            (made,) = torch.ao.quantization.quantize_dynamic(outer, {nn.LSTM})
            found["torch int8, dynamic"] = (int8, run(made, True))
    except (AttributeError, RuntimeError):  # gone from this version, or no engine here
        pass
    return found


def onnx_peers(units: int, folder: Path, threads: int) -> Calls:
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
    for name, file, size in (("float32", "float.onnx", 4), ("int8", "int8.onnx", 1)):
        session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
        for steps in (STEPS, 1):
            about = {"group": name, "weight_bytes": size * 4 * units**2}
            found[f"onnxruntime {name}, {steps} a call"] = about, _run_onnx(session, units, steps)
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


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _file(quantizer: str, units: int) -> str:
    return f"{quantizer}-{units}.safetensors"


def measure(contestants: Calls, rounds: int, threads: int) -> dict[str, list[float]]:
    """Seconds a step of each round, in which each runs for some 20 ms, in an order that changes."""
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


def contest(units: int, chosen: list[str], rounds: int, threads: int, folder: Path) -> benchmarks.Case:
    """All that can be had at one size, with all instructions of the machine or those that are left to this process."""
    instructions = NARROW if "NUMBA_CPU_FEATURES" in os.environ else "all"
    contestants = torch_peers(units) | onnx_peers(units, folder, threads)
    for quantizer in chosen:
        for bits in choose.BITS:
            contestants |= ours(quantizer, bits, units, folder)
    about = {"cell": "lstm", "units": units, "symbols": SYMBOLS, "instructions": instructions}
    notes = {name: told for name, (told, _) in contestants.items()}
    bars = {
        f"{quantizer}, {choose.BITS[0]}-bit activations": BARS.get((instructions, quantizer, units), {})
        for quantizer in chosen
    }
    return benchmarks.Case(about, threads, measure(contestants, rounds, threads), notes, bars)


def files(units: int, chosen: list[str], folder: Path) -> list[dict]:
    """The bytes of the packed files of one size, and of the float32 values of the same network."""
    rows = []
    for quantizer in chosen:
        with torch.device("meta"):
            full = 4 * sum(p.numel() for p in bare(quantizer, units).parameters())
        size = (folder / _file(quantizer, units)).stat().st_size
        row = {"quantizer": quantizer, "units": units, "bytes": size, "float32_bytes": full}
        rows.append(row | ({"bar": SMALLER[quantizer, units]} if (quantizer, units) in SMALLER else {}))
    return rows


START = """
import time
began = time.perf_counter()
import lowbit.inference.model as model
imported = time.perf_counter()
packed = model.load({file!r})
packed.step(7, packed.start())
done = time.perf_counter()
import sys
print(imported - began, done - imported, "torch" in sys.modules)
"""


def starts(quantizer: str, file: Path, repeats: int = 3) -> list[dict]:
    """Seconds to the first step of a process: its imports, and beyond; where nothing is compiled yet, and after."""
    told = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(1 + repeats):
            words = [sys.executable, "-c", START.format(file=str(file))]
            settings = {"env": os.environ | {"NUMBA_CACHE_DIR": cache}, "check": True}
            told.append(subprocess.run(words, capture_output=True, text=True, **settings).stdout.split())
    rows = []
    for name, runs in (("empty", told[:1]), ("filled", told[1:])):
        imports, beyond = (round(statistics.median(float(run[i]) for run in runs), 3) for i in (0, 1))
        row = {"quantizer": quantizer, "cache": name, "import_seconds": imports, "seconds": beyond}
        rows.append(row | {"torch": runs[0][2] == "True", "bar": FIRST_USE[name]})
    return rows


def narrow(options: argparse.Namespace, folder: Path) -> list[benchmarks.Case]:
    """The same contests in a process that may not use AVX-512; none where this machine has none."""
    import llvmlite.binding as llvm

    if "avx512f" not in loader.features():
        return []
    has = (name for name, there in llvm.get_host_cpu_features().items() if there)
    words = ",".join(f"{'-' if name.startswith(('avx512', 'amx', 'avx10')) else '+'}{name}" for name in has)
    told = folder / "narrow.json"
    given = ["--quantizers", "binary", "ternary", "--units", *map(str, options.units), "--rounds", str(options.rounds)]
    command = [sys.executable, __file__, *given, "--only-cases", str(told)]
    subprocess.run(command, check=True, env=os.environ | {"NUMBA_CPU_FEATURES": words})
    return [benchmarks.Case(**each) for each in json.loads(told.read_text())]


def show(case: benchmarks.Case) -> None:
    """A line for each contestant."""
    print(f"{case.about['units']} units, instructions: {case.about['instructions']}")
    for name in case.seconds:
        ratios = [case.ratio(name, group) for group in ("float32", "int8")]
        told = "".join(f"{ratio.median:7.1f} x" if ratio else "      –  " for ratio in ratios)
        print(f"{1e6 * case.time(name).median:9.1f} us {told}  {name}", flush=True)


def run(options: argparse.Namespace, folder: Path) -> None:
    """Measures, tells as it goes, and files the record after each size."""
    settings = {"rounds": options.rounds, "threads": options.threads}
    absent = [f"{name}: not installed" for name in ("onnx", "onnxruntime") if not _installed(name)]
    told = benchmarks.Benchmark("inference", roofline.machine(), settings, roofline.limits(), absent, [], {}, False)
    told.tables["files"] = []
    for units in options.units:
        told.cases.append(contest(units, options.quantizers, options.rounds, options.threads, folder))
        told.tables["files"] += files(units, options.quantizers, folder)
        benchmarks.save(told)
        show(told.cases[-1])
    units = 1000 if 1000 in options.units else options.units[0]
    told.tables["start_up"] = [row for q in options.quantizers[:2] for row in starts(q, folder / _file(q, units))]
    benchmarks.save(told)
    print(*told.tables["files"], *told.tables["start_up"], sep="\n", flush=True)
    told.cases.extend(narrow(options, folder))
    print(f"left out: {absent or 'nothing'}\n{benchmarks.save(dataclasses.replace(told, complete=True))}")


def main() -> None:
    """Reads the words of the command line."""
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
        found = []
        for units in options.units:
            found.append(contest(units, options.quantizers, options.rounds, options.threads, folder))
            show(found[-1])
        store.write(options.only_cases, json.dumps([dataclasses.asdict(case) for case in found]))


if __name__ == "__main__":
    main()
