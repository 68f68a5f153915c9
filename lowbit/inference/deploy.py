"""From a trained network to its packed file: weights as codes, norms as one scale and one shift a row."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from lowbit import cells, evaluate, norm, trained
from lowbit.hardware.program import rounded
from lowbit.inference import file as files
from lowbit.inference.grid import Matrix, shortest
from lowbit.models import Network
from lowbit.quantizers import Quantizer, Site
from lowbit.recurrent import Recurrent
from lowbit.registry import InputError
from lowbit.spec import RunSpec
from lowbit.store import Record

CELLS = ("gru", "lstm", "lstm(normalize_cell=True)", "rnn")


def pack(run: RunSpec | Record, file: str | Path, kept: int = 0, bits: int = 0) -> Path:
    """Writes the trained network of a run as a packed model, which `lowbit.load` runs without torch.

    Norm statistics are gathered again, with nearest rounding, on training batches. All steps share them, but
    for the first `kept` ones. Recurrent layers of full precision are rounded to `bits`, if any, as an engine's
    lanes would have them. Raises `InputError` for a network that cannot be packed.
    """
    spec = run.run if isinstance(run, Record) else run
    network = trained.network(spec)
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    x = next(spec.data.alone("test", spec.recipe.test_limit)).x
    symbols = isinstance(x, Tensor) and not x.is_floating_point()
    return write(network, spec, file, kept, symbols, getattr(spec.data, "alphabet", ""), bits)


def write(
    network: Network,
    spec: RunSpec,
    file: str | Path,
    kept: int = 0,
    symbols: bool = True,
    alphabet: str = "",
    bits: int = 0,
) -> Path:
    """Writes a network whose norms have their statistics; `symbols` says that inputs are integers.

    `alphabet` has the character of each symbol, where they stand for some.
    """
    _check(network, spec)
    network = share(network, kept)
    arrays = _coded("readout.weight", network.readout.weight, "readout", network)
    arrays["readout.bias"] = _array(network.readout.bias)
    if network.embedding is not None:
        arrays |= _coded("embedding", network.embedding.weight, "embedding", network)
    for number, layer in enumerate(network.layers):
        arrays |= {f"layers.{number}.{name}": array for name, array in _layer(layer, bits).items()}
    inputs = network.layers[0].site_x.inputs if network.embedding is None else network.embedding.num_embeddings
    about = {
        "spec": dataclasses.asdict(spec),
        "cell": spec.cell,
        "layers": len(network.layers),
        "units": network.layers[0].hidden,
        "inputs": inputs,
        "outputs": network.readout.out_features,
        "symbols": symbols,
        "alphabet": alphabet,
    }
    files.write(Path(file), arrays, about)
    return Path(file)


def share(network: Network, kept: int = 0) -> Network:
    """A copy for evaluation whose batch norms keep statistics of the first `kept` steps and share all others."""
    network = copy.deepcopy(network).eval()
    for each in network.norms():
        if isinstance(each, norm.BatchStatistics):
            for name in ("count", "total", "squares"):
                sums = getattr(each, name)
                first = min(kept, len(sums) - 1)
                setattr(each, name, torch.cat((sums[:first], sums[first:].sum(0, keepdim=True))))
            each.steps = len(each.count)
    return network


def _check(network: Network, spec: RunSpec) -> None:
    if spec.cell not in CELLS:
        raise InputError(f"cell {spec.cell!r} has no packed form; known: {', '.join(CELLS)}")
    if spec.recipe.bidirectional:
        raise InputError("a bidirectional network cannot stream: it reads a sequence from its end")
    if spec.activations != "full":
        raise InputError(f"activations {spec.activations!r} have no packed form; known: full")


@torch.no_grad()
def _layer(layer: Recurrent, bits: int) -> dict[str, np.ndarray]:
    weights = layer.round(sample=False)
    scale_x, shift_x = layer.norm_x.fold(weights.x)
    scale_h, shift_h = layer.norm_h.fold(weights.h)
    shift_x, shift_h = shift_x + weights.bias_x, shift_h + weights.bias_h
    arrays = {"scale_x": _array(scale_x), "scale_h": _array(scale_h)}
    if isinstance(layer.cell, cells.GRU):  # the reset gate comes between the two
        arrays |= {"shift_x": _array(shift_x), "shift_h": _array(shift_h)}
    else:
        arrays["shift_x"] = _array(shift_x + shift_h)
    if layer.cell.settles:
        scale, shift = layer.norm_c.fold(torch.eye(layer.hidden))
        arrays |= {"scale_c": _array(scale), "shift_c": _array(shift + layer.bias_c)}
    if hasattr(layer, "first"):
        arrays["first"] = _array(layer.first)
    for part, master in (("input", layer.weight_x), ("recurrent", layer.weight_h)):
        matrix = _matrix(layer.quantizer, part in layer.quantized, master, layer.site(part))
        arrays |= files.entries(part, _rounded(matrix, bits) if bits and matrix.codes is None else matrix)
    return arrays


@torch.no_grad()
def _coded(name: str, w: Tensor, part: str, network: Network) -> dict[str, np.ndarray]:
    return files.entries(name, _matrix(network.quantizer, part in network.quantized, w, Site.of(w)))


def _matrix(quantizer: Quantizer, quantized: bool, w: Tensor, site: Site) -> Matrix:
    if not quantized or not quantizer.levels:
        return Matrix(None, _array(w))
    codes, book = quantizer.encode(w, site)
    return Matrix(codes.cpu().numpy(), shortest(_array(book), site.gates))


def _rounded(matrix: Matrix, bits: int) -> Matrix:
    plane, top = rounded(torch.from_numpy(matrix.book), bits), (1 << (bits - 1)) - 1
    book = np.arange(-top, top + 1, dtype=np.float32) * float(plane.factor[0])
    return Matrix((plane.whole.numpy() + top).astype(np.uint8 if bits <= 8 else np.uint16), book[None])


def _array(values: Tensor) -> Float32[np.ndarray, "..."]:
    return values.detach().float().cpu().numpy()
