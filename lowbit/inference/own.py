"""A model of one's own as a packed model: an embedding or none, our recurrent layers, and a linear readout."""

from pathlib import Path

import torch
from torch import Tensor, nn

from lowbit.datasets import Recipe
from lowbit.inference import deploy, model
from lowbit.inference.sharing import share
from lowbit.layers.networks import Network
from lowbit.layers.recurrent import Design, Recurrent
from lowbit.layers.stack import Layers
from lowbit.registry import InputError

NEAR = 1e-3  # how far outputs may be from those of the model, as a share of the largest


@torch.no_grad()
def pack(module: nn.Module, file: str | Path, example: Tensor | None, alphabet: str = "") -> Path:
    """Writes a model that is made of our recurrent layers under a readout of every step or of the last.

    `example` is a batch of the model's inputs: integers are symbols, which go through its embedding or one-hot; real
    numbers are features, whose largest size in the example is the range of the packed model's inputs. The packed model
    is run on the example too: where its outputs are not those of the model, the model computes something else. The
    file says in `about["head"]` whether the model reads each step or the last one. Raises `InputError` for parts that
    have no packed form, by their names, and for norms without statistics.

    >>> import tempfile, lowbit, torch
    >>> class Tagger(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.gru = lowbit.GRU(3, 8, batch_first=True)
    ...         self.readout = torch.nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.readout(self.gru(x)[0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     packed = lowbit.load(lowbit.pack(Tagger(), f"{folder}/tagger.safetensors", example=torch.randn(4, 9, 3)))
    >>> packed.run(torch.randn(5, 3).numpy(), packed.start())[0].shape
    (5, 2)
    """
    if not isinstance(example, Tensor) or not example.numel():
        raise InputError("to pack a model of your own, give a batch of its inputs as `example`")
    training, module = module.training, module.eval()
    try:
        network, layers = _network(module)
        outputs = module(example)
    finally:
        module.train(training)
    x = (example.transpose(0, 1) if layers[0].batch_first else example).cpu().numpy()
    expected = (outputs[0] if isinstance(outputs, tuple) else outputs).float().cpu()
    head = "last step" if expected.dim() == 2 else "each step"
    if head == "each step" and layers[0].batch_first:
        expected = expected.transpose(0, 1)
    symbols = not example.is_floating_point()
    spec = {"dataset": "own", "model": type(module).__name__, **layers[0].choices}
    about = {"spec": spec, "cell": spec["cell"], "symbols": symbols, "alphabet": alphabet, "head": head}
    if not symbols:
        about["input_range"] = float(example.abs().max()) or 1.0
    path = deploy.save(share(network, layers[0].steps), about, file, lambda: x)
    packed = model.load(path, bits=32)
    logits, _ = packed.run(x, packed.start(x.shape[1]))
    logits = torch.from_numpy(logits[-1] if head == "last step" else logits)
    if logits.shape != expected.shape or not (logits - expected).abs().max() <= NEAR * (1 + expected.abs().max()):
        path.unlink()
        raise InputError(
            "the model computes something else than an embedding, recurrent layers and a readout of each step or the "
            "last: its outputs on the example are not those of these parts alone"
        )
    return path


def _network(module: nn.Module) -> tuple[Network, list[Layers]]:
    """The parts of a model as a network of ours, and its recurrent layers."""
    parts: dict[type, list] = {Layers: [], nn.Linear: [], nn.Embedding: []}
    inside = {id(norm) for part in module.modules() if isinstance(part, Layers) for norm in part.norms.values()}
    for name, part in module.named_modules():
        kind = next((kind for kind in parts if isinstance(part, kind)), None)
        if kind is not None:
            parts[kind].append(part)
        elif isinstance(part, nn.RNNBase):
            raise InputError(f"{name!r} is torch's {type(part).__name__}: take `lowbit.from_torch` of the model first")
        elif next(part.parameters(recurse=False), None) is not None and id(part) not in inside:
            raise InputError(f"{name!r} ({type(part).__name__}) has no packed form")
    layers, readouts, embeddings = parts.values()
    if not layers or len(readouts) != 1 or len(embeddings) > 1:
        raise InputError(
            "a packed model has recurrent layers of lowbit, one nn.Linear as readout and at most one nn.Embedding, and "
            f"this model has {len(layers)}, {len(readouts)} and {len(embeddings)}"
        )
    for layer in layers:
        if layer.bidirectional:
            raise InputError(deploy.BACKWARDS)
        if layer.choices != layers[0].choices or layer.hidden_size != layers[0].hidden_size:
            raise InputError("the recurrent layers of a packed model are alike in cell, units, quantizer and norm")
    deploy.check_choices(*(layers[0].choices[name] for name in ("cell", "activations", "norm")))
    return _joined(layers, readouts[0], embeddings), layers


def _joined(layers: list[Layers], readout: nn.Linear, embeddings: list[nn.Embedding]) -> Network:
    first = layers[0]
    design = Design(first.cell, first.quantizer, first.norm, first.quantized, first.activations)
    wide = embeddings[0].embedding_dim if embeddings else 0
    recipe = Recipe(
        hidden=first.hidden_size,
        updates=1,
        layers=sum(layer.num_layers for layer in layers),
        embedding=wide,
        steps=first.steps,
    )
    inputs = embeddings[0].num_embeddings if embeddings else first.input_size
    network = Network(inputs, readout.out_features, recipe, design).eval()
    pairs = [(layer, f"l{n}") for layer in layers for n in range(layer.num_layers)]
    for ours, (layer, suffix) in zip(network.layers, pairs, strict=True):
        _fill(ours, layer, suffix)
    for ours, theirs in [(network.readout, readout), *zip([network.embedding], embeddings, strict=False)]:
        for name, value in ours.named_parameters():
            value.copy_(getattr(theirs, name) if getattr(theirs, name) is not None else torch.zeros_like(value))
    return network


def _fill(ours: Recurrent, layer: Layers, suffix: str) -> None:
    """Gives a layer of ours the weights, the learned factors and the norms of one under torch's signature."""
    for side, part, letter in (("ih", "input", "x"), ("hh", "recurrent", "h")):
        getattr(ours, f"weight_{letter}").copy_(getattr(layer, f"weight_{side}_{suffix}"))
        bias = getattr(ours, f"bias_{letter}")
        bias.copy_(getattr(layer, f"bias_{side}_{suffix}") if layer.bias else torch.zeros_like(bias))
        if layer.norms:
            getattr(ours, f"norm_{letter}").load_state_dict(layer.norms[f"{side}_{suffix}"].state_dict())
        if hasattr(layer, f"factors_{part}_{suffix}"):
            getattr(ours, f"factors_{part}").copy_(getattr(layer, f"factors_{part}_{suffix}"))
