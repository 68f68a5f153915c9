"""From a model with torch's recurrent layers to one with ours, and the statistics of its norms."""

import copy
from collections.abc import Iterable

import torch
from torch import nn

from lowbit.layers import norm
from lowbit.layers.modules import GRU, LSTM, RNN
from lowbit.registry import InputError

KINDS = {nn.LSTM: LSTM, nn.GRU: GRU, nn.RNN: RNN}
SETTINGS = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size"]


def from_torch(model: nn.Module, **choices) -> nn.Module:
    """A copy of a model whose `nn.LSTM`, `nn.GRU` and `nn.RNN` layers are ours, with their weights as masters.

    `choices` are those of `Layers`. Raises `InputError` for a layer with a projection.

    >>> import lowbit, torch
    >>> model = torch.nn.ModuleDict({"encoder": torch.nn.GRU(3, 4), "readout": torch.nn.Linear(4, 2)})
    >>> type(lowbit.from_torch(model, quantizer="binary")["encoder"]).__module__
    'lowbit.layers.modules'
    """
    ours = {id(layer): _layer(layer, choices) for layer in model.modules() if type(layer) in KINDS}
    return copy.deepcopy(model, ours)


def _layer(layer: nn.RNNBase, choices: dict) -> nn.Module:
    settings = {name: getattr(layer, name) for name in SETTINGS}
    if isinstance(layer, nn.RNN):
        settings["nonlinearity"] = layer.nonlinearity
    weight = layer.weight_ih_l0
    same = KINDS[type(layer)](**settings, **choices, device=weight.device, dtype=weight.dtype)
    same.load_state_dict(layer.state_dict())
    return same.train(layer.training)


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable) -> nn.Module:
    """Gathers the population statistics of all batch norms of our layers on some inputs, and returns the model.

    A batch is the input of the model, or a tuple of its inputs. Weights are rounded to the nearest level and nothing
    is dropped, as when the model is used; it stays in evaluation mode. Raises `InputError` without a batch.

    >>> import lowbit, torch
    >>> layer = lowbit.calibrate(lowbit.LSTM(3, 4), [torch.randn(5, 8, 3) for _ in range(4)])
    >>> layer.training, layer(torch.randn(5, 1, 3))[0].shape
    (False, torch.Size([5, 1, 4]))
    """
    empty = True
    with norm.gathering(model):
        for batch in batches:
            model(*batch) if type(batch) in (tuple, list) else model(batch)
            empty = False
    if empty:
        raise InputError("no batch to gather statistics from")
    return model
