"""The limits of a machine, measured on it: products of matrices, and reads from caches and memory."""

import functools
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lowbit.studies import provenance

SIDE = 1024  # of the square matrices whose product is timed
SIZES = tuple(2**power for power in range(15, 29))  # bytes that are read over and over: 32 KiB to 256 MiB
SHOWN = re.compile(r"(?:avx|amx|sse4|fma$|f16c$|asimd|sve|i8mm|bf16)")  # of the flags of a processor


def machine() -> dict:
    """Processor, instruction sets, caches in bytes and versions, for the record of a benchmark."""
    return provenance.machine() | {"instructions": instructions(), "caches": caches()}


def instructions() -> list[str]:
    """The vector and matrix instructions of the processor, as the system names them."""
    info = Path("/proc/cpuinfo")
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return sorted(filter(SHOWN.match, flags[1].split())) if flags else []


def caches() -> dict[str, int]:
    """The bytes of the data caches of the first core, by level; empty where the system has no list of them."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, size, kind = ((folder / name).read_text().strip() for name in ("level", "size", "type"))
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size.rstrip("K")) * 1024
    return sizes


def limits() -> dict[str, list[dict]]:
    """The limits of one core, where torch has one thread.

    `products`: billions of operations a second, a multiplication and an addition being two. `reads`: billions of
    bytes a second by the bytes that are read over and over.
    """
    products = {"float32": matrices(torch.float32), "bfloat16": matrices(torch.bfloat16), "int8": vectors()}
    rows = [{"numbers": name, "giga_operations": value} for name, value in products.items() if value]
    return {"products": rows, "reads": [{"bytes": size, "gigabytes": reading(size)} for size in SIZES]}


def matrices(kind: torch.dtype, side: int = SIDE) -> float:
    """Billions of operations a second of torch's product of square matrices."""
    a, b = (torch.rand(side, side).to(kind) for _ in range(2))
    return _rounded(2e-9 * side**3 / fastest(lambda: torch.mm(a, b)))


def vectors(rounds: int = 100_000) -> float | None:
    """Billions of operations a second of products of bytes in registers; None without the AVX-512 instruction."""
    from lowbit.inference import loader

    if "avx512vnni" not in loader.features():
        return None
    count, run = _bytes()
    buffer = np.zeros(4096, np.uint8)
    return _rounded(2e-9 * count * rounds / fastest(lambda: run(buffer.ctypes.data, rounds)))


def reading(size: int) -> float:
    """Billions of bytes a second that one core reads from a buffer of `size` bytes, over and over."""
    words = np.ones(size // 8, np.int64)
    times = max(1, 2**22 // size)
    run = _reader()
    return _rounded(1e-9 * words.nbytes * times / fastest(lambda: run(words, times)))


def fastest(call: Callable[[], object], seconds: float = 0.2) -> float:
    """Seconds of the processor for the fastest of many calls; others on the machine only ever slow one down."""
    call()
    best, until = float("inf"), time.process_time() + seconds
    while time.process_time() < until:
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best


def update(about: dict, half: bool) -> tuple[float, float]:
    """Operations of one update of a layer, and the bytes that it must move between its time steps.

    Operations are those of the three products with the recurrent matrix and with the readout. Bytes: the recurrent
    matrix once a step each way, with two bytes a weight where `half`; and of each step pre-activations and outputs,
    written and read again, and their gradients.
    """
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[about["cell"].partition("(")[0]]
    hidden, cells = about["hidden"], about["steps"] * about["batch"]
    weights = gates * hidden * hidden
    operations = 6 * cells * (weights + hidden * about["symbols"])
    return operations, 2 * about["steps"] * weights * (2 if half else 4) + 16 * cells * (gates + 1) * hidden


def levels(machine: dict, limits: dict) -> dict[str, float]:
    """Billions of bytes a second from each cache of a machine, by what fills half of it, and from memory.

    >>> reads = [{"bytes": size, "gigabytes": speed} for size, speed in ((16, 90.0), (64, 50.0), (256, 9.0))]
    >>> levels({"caches": {"L1": 32, "L2": 128}}, {"reads": reads})
    {'L1': 90.0, 'L2': 50.0, 'memory': 9.0}
    """
    speeds = {}
    for name, most in [*((name, size / 2) for name, size in machine["caches"].items()), ("memory", np.inf)]:
        within = [read for read in limits["reads"] if read["bytes"] <= most]
        if within:
            speeds[name] = max(within, key=lambda read: read["bytes"])["gigabytes"]
    return speeds


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


@functools.cache
def _reader() -> Callable:
    import numba

    @numba.njit
    def run(words, times):
        total = 0
        for turn in range(times):
            for i in range(len(words)):
                total += words[i] ^ turn  # what changes from turn to turn has to be read in each
        return total

    return run


@functools.cache
def _bytes() -> tuple[int, Callable]:
    """Products of a round, and a function of an address and rounds: eight registers of sums, so that none waits."""
    import numba

    from lowbit.inference.native.vectors import add32, bytes512, load, store

    @numba.njit
    def run(address, rounds):
        a, b, x = load(address, 64), load(address, 64), load(address + 256, 16)
        for _ in range(rounds):
            a, b = bytes512(a, x, x), bytes512(b, x, x)
        store(address + 512, add32(a, b))

    return 2 * 4 * 64, run
