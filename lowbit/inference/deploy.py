"""From a trained network to its packed file: weights as codes, norms as one scale and one shift a row."""

import copy
import dataclasses
import functools
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from lowbit.hardware.program import rounded
from lowbit.inference import check, rounding, sharing
from lowbit.inference import file as files
from lowbit.inference.grid import Matrix, shortest
from lowbit.inference.sharing import share
from lowbit.layers import cells, norm
from lowbit.layers.networks import Network
from lowbit.layers.recurrent import Recurrent
from lowbit.quantizers import Quantizer, Site
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.studies.store import Record
from lowbit.training import evaluate, trained

BACKWARDS = "a bidirectional network cannot stream, as it reads a sequence from its end: train one that can"
EXAMPLES = 512  # sequences from which the corrections of rounding are computed, where there are so many


@functools.singledispatch
def pack(run: RunSpec | Record, file: str | Path, separate_steps: int | None = None, bits: int = 0) -> Path:
    """Writes the trained network of a run as a packed model, which `lowbit.load` runs without torch.

    Norm statistics are collected again, with nearest rounding, on training batches. All steps share them, but for
    the first `separate_steps`: as few as leave the validation score as it is, unless a number is given, whose cost is
    then measured. Either way `about["sharing"]` has the scores. Recurrent layers of full precision are rounded to
    `bits`, if any, as the lanes of an accelerator would hold them; where that makes the score worse it warns. Raises
    `InputError` for a network that cannot be packed, and for one that diverged.

    A model of your own, an `nn.Module`, is packed by `pack(model, file, example, alphabet)`, as
    `lowbit.inference.own.pack` says.

    >>> import tempfile, lowbit
    >>> spec = lowbit.RunSpec(budget="smoke(updates=2, valid_limit=300, test_limit=300)")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lowbit.pack(spec, f"{folder}/tiny.safetensors").name
    'tiny.safetensors'
    """
    spec = run.run if isinstance(run, Record) else run
    _check(spec)
    if separate_steps is not None and separate_steps < 0:
        raise InputError(f"steps that keep their statistics count from 0, not {separate_steps}")
    network = trained.network(spec)
    if store.has_diverged(spec):
        raise InputError(f"the run {spec.key} diverged, so there is nothing to pack: train it with a lower rate")
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    scores = None
    if bits:
        network, scores = _rounded_network(network, spec, bits)
    x = next(spec.data.alone("test", spec.recipe.test_limit)).x
    symbols = isinstance(x, Tensor) and not x.is_floating_point()
    steps, scores = sharing.choose(network, spec, separate_steps, scores)
    return write(network, spec, file, steps, symbols, getattr(spec.data, "alphabet", ""), bits, scores)


@pack.register
def _(run: nn.Module, file: str | Path, example: Tensor | None = None, alphabet: str = "") -> Path:
    from lowbit.inference import own

    return own.pack(run, file, example, alphabet)


def write(
    network: Network,
    spec: RunSpec,
    file: str | Path,
    separate_steps: int = 0,
    symbols: bool = True,
    alphabet: str = "",
    bits: int = 0,
    scores: dict | None = None,
) -> Path:
    """Writes a network whose norms have their statistics; `symbols` says that inputs are integers.

    `alphabet` has the character of each symbol, where they stand for some, `scores` the scores of `sharing.choose`.
    """
    _check(spec)
    about = {"spec": dataclasses.asdict(spec), "cell": spec.cell, "symbols": symbols, "alphabet": alphabet}
    if not symbols:
        about["input_range"] = _range(spec)
    if scores:
        about["sharing"] = scores
    return save(share(network, separate_steps), about, file, lambda: _examples(spec), bits)


def save(network: Network, about: dict, file: str | Path, examples: Callable[[], np.ndarray], bits: int = 0) -> Path:
    """Writes a network of few norm statistics; `about` says the rest of what a packed model says of itself.

    `examples` gives sequences side by side (time batch ...), as `rounding.corrections` needs them.
    """
    arrays = _coded("readout.weight", network.readout.weight, "readout", network)
    arrays["readout.bias"] = _array(network.readout.bias)
    if network.embedding is not None:
        arrays |= _coded("embedding", network.embedding.weight, "embedding", network)
    for n, layer in enumerate(network.layers):
        arrays |= {f"layers.{n}.{name}": array for name, array in _layer(layer, bits).items()}
    inputs = network.layers[0].site_x.inputs if network.embedding is None else network.embedding.num_embeddings
    sizes = {"layers": len(network.layers), "units": network.layers[0].hidden}
    about = about | sizes | {"inputs": inputs, "outputs": network.readout.out_features}
    check.model(arrays, about)
    if len(arrays["layers.0.scale_h"]) > 1:
        arrays |= rounding.corrections(arrays, about, examples())
    files.write(Path(file), arrays, about)
    return Path(file)


def _check(spec: RunSpec) -> None:
    if spec.recipe.bidirectional or spec.data.task == "cloze":
        raise InputError(BACKWARDS)
    check_choices(spec.cell, spec.activations, spec.norm)


def check_choices(cell: str, activations: str, normed: str) -> None:
    """Raises `InputError` for names of cells, activations and norms that have no packed form."""
    if cell not in check.GATES:
        raise InputError(f"cell {cell!r} has no packed form; known: {', '.join(check.GATES)}")
    if activations != "full":
        raise InputError(f"activations {activations!r} have no packed form; known: full")
    if not issubclass(norm.registry[normed], norm.Affine):
        names = ", ".join(name for name in norm.names() if issubclass(norm.registry[name], norm.Affine))
        raise InputError(f"norm {normed!r} cannot be folded: it depends on every input; known: {names}")


def _examples(spec: RunSpec) -> np.ndarray:
    """Training sequences side by side, `EXAMPLES` of them or those of one batch."""
    order = torch.Generator().manual_seed(0)
    large, small = (
        spec.data.batches("train", size, spec.recipe.steps, order) for size in (EXAMPLES, spec.recipe.batch)
    )
    return next(itertools.chain(large, small)).x.numpy()


def _range(spec: RunSpec) -> float:
    """The largest feature of the training split, without sign."""
    batches = spec.data.streams("train", spec.recipe.batch, spec.recipe.steps)
    return max(float(batch.x.abs().max()) for batch in batches) or 1.0


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
    if layer.cell.normalize_cell:
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


@torch.no_grad()
def _rounded_network(network: Network, spec: RunSpec, bits: int) -> tuple[Network, list[float]]:
    """A copy whose recurrent layers of full precision are rounded, and its scores; warns where they are worse."""
    copied = copy.deepcopy(network)
    for layer in copied.recurrent().values():
        for matrix in layer.matrices():
            if not matrix.levels:
                matrix.master.copy_(torch.from_numpy(_rounded(Matrix(None, _array(matrix.master)), bits).values))
    (own, *_), scores = sharing.scores(network, spec), sharing.scores(copied, spec)
    if scores[0] > own * (1 + sharing.COST):
        warnings.warn(
            f"weights of {bits} bits take the validation score from {own:.4g} to {scores[0]:.4g} "
            f"{spec.data.metric.unit}: pack with more bits",
            stacklevel=3,
        )
    return copied, scores


def _rounded(matrix: Matrix, bits: int) -> Matrix:
    plane, top = rounded(torch.from_numpy(matrix.book), bits), (1 << (bits - 1)) - 1
    book = np.arange(-top, top + 1, dtype=np.float32) * float(plane.factor[0])
    return Matrix((plane.whole.numpy() + top).astype(np.uint8 if bits <= 8 else np.uint16), book[None])


def _array(values: Tensor) -> Float32[np.ndarray, "..."]:
    return values.detach().float().cpu().numpy()
