"""Measurements in a trained network: Jacobians of the state, inputs of the gates, and what the score depends on."""

import dataclasses
import functools
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lowbit import quantizers
from lowbit.datasets import Batch, Dataset, Recipe
from lowbit.datasets.base import Text
from lowbit.layers import cells
from lowbit.layers.cells import Cell, Normalize, Product, State, Values
from lowbit.layers.networks import Network
from lowbit.layers.recurrent import Recurrent, Weights
from lowbit.training import evaluate

SEQUENCES, STEPS = 4, 20  # that Jacobians are taken of
SEGMENTS = 256  # of the test split that scores are taken on
SIZES = (2, 4, 8, 16, 32, 64, 128)  # of test batches
ROUNDED = (8, 6, 5, 4, 3, 2)  # bits of a weight that a network in full precision is rounded to
SAMPLES = 10  # draws of the weights
SATURATED = 4.0  # a sigmoid has a slope below a fiftieth there, a tanh below a seven hundredth
BINS = torch.linspace(-8, 8, 65)  # of a histogram of pre-activations; what is beyond counts at the ends


class Layer(NamedTuple):
    """The first recurrent layer of a network with its inputs and weights on some test sequences."""

    layer: Recurrent
    x: Tensor  # (time batch inputs), or symbols (time batch)
    weights: Weights  # nearest rounding
    running: Tensor  # (time batch): whether the sequence has not ended


@torch.no_grad()
def jacobians(network: Network, data: Dataset, recipe: Recipe) -> dict[str, list]:
    r"""The size of $\partial s_t / \partial s_{t-1}$, step by step, and the norm of $h_t$.

    Of the first layer as deployed, on test segments of the trained length. By step: the largest modulus of an
    eigenvalue (`radius`) and the spectral norm (`spectral_norm`) for each of a few sequences; the Euclidean norm of the
    output (`hidden`, all steps), mean over a batch. Steps count from 1, whose state is the first.
    """
    layer, x, w, running = first_layer(network, data, recipe)
    outputs, state = layer(x, None, w)
    sizes = (outputs.norm(dim=2) * running).sum(1) / running.sum(1)
    few = x[:, :SEQUENCES]
    last = int(running[:, :SEQUENCES].sum(0).min()) - 1
    chosen = {round(t) for t in torch.linspace(1, last, min(STEPS, last)).tolist()}
    spectra = {"step": [], "radius": [], "spectral_norm": [], "hidden": sizes.tolist()}
    _, state = layer(few[:1], None, w)
    for t in range(1, last + 1):
        if t in chosen:
            matrices = jacobian(layer, few[t : t + 1], state, w).cpu()
            spectra["step"].append(t + 1)
            spectra["radius"].append(torch.linalg.eigvals(matrices).abs().amax(1).tolist())
            spectra["spectral_norm"].append(torch.linalg.matrix_norm(matrices, 2).tolist())
        _, state = layer(few[t : t + 1], state, w)
    return spectra


def jacobian(layer: Recurrent, x: Tensor, state: State, w: Weights) -> Float[Tensor, "batch size size"]:
    """The derivative of each sequence's next state with respect to its state, all values of a state in a row.

    `x` is one step, (1 batch ...). No sequence may touch another: norms are in evaluation mode.
    """
    batch, size = x.shape[1], len(state.values) * layer.hidden
    # A copy of the sequence for each row of its Jacobian, so that one pass back gives all rows.
    before = torch.cat(state.values, dim=1).detach().repeat_interleave(size, dim=0).requires_grad_()
    with torch.enable_grad():
        values = before.split(layer.hidden, dim=1)
        _, after = layer(x.repeat_interleave(size, dim=1), State(values, state.t), w)
        rows = torch.cat(after.values, dim=1).view(batch, size, size)
        (slopes,) = torch.autograd.grad(rows.diagonal(dim1=1, dim2=2).sum(), before)
    return slopes.view(batch, size, size)


@torch.no_grad()
def gates(network: Network, data: Dataset, recipe: Recipe) -> dict[str, dict]:
    """The inputs of each gate's nonlinearity in the first layer as deployed, by the name of the gate.

    A histogram over `BINS`, mean, standard deviation, and the share beyond `SATURATED` on either side.
    """
    layer, x, w, running = first_layer(network, data, recipe)
    listener = Listener(layer.cell)
    layer.cell = listener
    try:
        layer(x, None, w)
    finally:
        layer.cell = listener.cell
    summaries = {}
    parts = torch.stack(listener.inputs)[running].cpu().chunk(listener.cell.gates, dim=1)
    for name, z in zip(listener.cell.gate_names, parts, strict=True):
        histogram = torch.histogram(z.flatten().clamp(BINS[0], BINS[-1]), BINS).hist.int().tolist()
        summaries[name] = {"histogram": histogram, "mean": float(z.mean()), "std": float(z.std())}
        summaries[name] |= {
            "low": float((z < -SATURATED).float().mean()),
            "high": float((z > SATURATED).float().mean()),
        }
    return summaries


class Listener:
    """A cell that records the inputs of its gates' nonlinearities."""

    def __init__(self, cell: Cell):
        self.cell = cell
        self.inputs: list[Tensor] = []  # (batch rows) of each step

    def __getattr__(self, name: str):
        return getattr(self.cell, name)

    def step(self, zx: Tensor, values: Values, product: Product, normalize: Normalize) -> Values:
        """The step of the cell."""
        z = zx.clone()
        after = self.cell.step(zx, values, functools.partial(self._record_product, z, product), normalize)
        if isinstance(self.cell, cells.GRU) and self.cell.reset == "ott2016":
            (r, u, n), (_, _, x) = z.chunk(3, dim=1), zx.chunk(3, dim=1)
            z = torch.cat((r, u, x + torch.sigmoid(r) * (n - x)), dim=1)  # the reset gate scales the product
        self.inputs.append(z)
        return after

    def _record_product(self, z: Tensor, product: Product, h: Tensor, part: slice) -> Tensor:
        products = product(h, part)
        z[:, part] += products
        return products


@torch.no_grad()
def by_length(network: Network, data: Dataset, recipe: Recipe) -> dict[str, list]:
    """The deployed network on one text cut into segments of several lengths, each from a fresh state.

    From a quarter of the trained length to sixteen times that; empty where the data have lengths of their own.
    """
    if not isinstance(data, Text):
        return {}
    evaluate.calibrate(network, data, recipe, sample=False)
    w, total = network.round(sample=False), SEGMENTS * recipe.steps
    scores: dict[str, list] = {"length": [], "score": []}
    for length in sorted({max(1, int(recipe.steps * 2**power)) for power in range(-2, 5)}):
        if length < min(total, len(data.splits["test"][0])):
            cut = data.batches("test", max(1, total // length), length, None, total + 1)
            scores["length"].append(length)
            scores["score"].append(evaluate.score(network, data, cut, w))
    return scores


@torch.no_grad()
def by_batch(network: Network, data: Dataset, recipe: Recipe, sizes: tuple[int, ...] = SIZES) -> dict[str, list]:
    """The score as published against the size of the test batch, beside that with population statistics.

    Both on the same segments from a fresh state; the second takes nearest weights and is the same for all sizes.
    """
    part = _part(data, recipe)
    length = recipe.steps if isinstance(data, Text) else 1
    count = min(part.test_limit, len(data.splits["test"][0])) // length
    scores = {"size": [], "as_published": [], "population": []}
    evaluate.calibrate(network, data, recipe, sample=False)
    w, order = network.round(sample=False), torch.Generator().manual_seed(0)
    batches = data.batches("test", min(64, count), recipe.steps, order, part.test_limit)
    population = evaluate.score(network, data, batches, w)
    for size in sizes:
        if size <= count:
            scores["size"].append(size)
            scores["as_published"].append(evaluate.as_published(network, data, dataclasses.replace(part, batch=size)))
            scores["population"].append(population)
    network.eval()
    return scores


@torch.no_grad()
def samples(network: Network, data: Dataset, recipe: Recipe) -> dict:
    """Scores of single draws of the weights, and of nearest rounding, each with its own population statistics.

    Empty where the quantizer does not draw. Statistics are taken over many draws, as in `evaluate.sampled`.
    """
    if not network.quantizer.stochastic:
        return {}
    part = _part(data, recipe)
    evaluate.calibrate(network, data, recipe, sample=False)
    nearest = _streamed(network, data, part, sample=False)
    evaluate.calibrate(network, data, recipe, sample=True)
    return {"nearest": nearest, "drawn": [_streamed(network, data, part, sample=True) for _ in range(SAMPLES)]}


@torch.no_grad()
def rounded(network: Network, data: Dataset, recipe: Recipe) -> dict[str, list]:
    """The test score of a network in full precision whose recurrent layers are rounded after training, by bits.

    32 bits are the network as it is. Weights are those of `uniform`; population statistics are gathered anew for each
    number of bits. The test split is read in parallel streams. Empty for a network that was trained in few bits.
    """
    if network.quantizer.levels:
        return {}
    layers = network.recurrent().values()
    scores: dict[str, list] = {"bits": [32, *ROUNDED], "score": []}
    for bits in scores["bits"]:
        for layer in layers:
            layer.quantizer = quantizers.build("full" if bits == 32 else f"uniform(bits={bits})")
        evaluate.calibrate(network, data, recipe, sample=False)
        scores["score"].append(_streamed(network, data, recipe, sample=False))
    for layer in layers:
        layer.quantizer = network.quantizer
    return scores


def first_layer(network: Network, data: Dataset, recipe: Recipe) -> Layer:
    """The first layer, calibrated and in evaluation mode, and its part of one shuffled batch of the test split."""
    evaluate.calibrate(network, data, recipe, sample=False)
    device = next(network.parameters()).device
    order = torch.Generator().manual_seed(0)
    batch: Batch = next(iter(data.batches("test", recipe.batch, recipe.steps, order))).to(device)
    layer, calls = next(iter(network.recurrent().values())), []
    hook = layer.register_forward_pre_hook(lambda _, arguments: calls.append(arguments))
    network(batch.x, None, network.round(sample=False), batch.lengths)
    hook.remove()
    x, _, w = calls[0]
    steps = torch.arange(len(x), device=device)[:, None].expand(-1, x.shape[1])
    return Layer(layer, x, w, steps < (len(x) if batch.lengths is None else batch.lengths))


def _part(data: Dataset, recipe: Recipe) -> Recipe:
    limit = SEGMENTS * recipe.steps + 1 if isinstance(data, Text) else SEGMENTS
    return dataclasses.replace(recipe, test_limit=min(limit, recipe.test_limit or limit))


def _streamed(network: Network, data: Dataset, recipe: Recipe, sample: bool) -> float:
    streams = data.streams("test", recipe.batch, recipe.steps, recipe.test_limit)
    return evaluate.score(network, data, streams, network.round(sample))
