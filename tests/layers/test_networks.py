import pytest
import torch
from torch import nn

from lowbit import quantizers
from lowbit.datasets import Recipe
from lowbit.layers import cells, networks
from lowbit.layers.networks import detach
from lowbit.layers.recurrent import Design

FULL = quantizers.build("full")


def network(cell="lstm", last_step=False, **changes):
    torch.manual_seed(0)
    kind = networks.registry["classify" if last_step else "char-lm"]
    return kind(3, 5, Recipe(hidden=4, updates=1, **changes), Design(cells.build(cell), FULL))


def copy(ours, peer, suffix):
    with torch.no_grad():
        for mine, theirs in (("weight_x", "weight_ih"), ("weight_h", "weight_hh")):
            getattr(peer, f"{theirs}_{suffix}").copy_(getattr(ours, mine))
        for mine, theirs in (("bias_x", "bias_ih"), ("bias_h", "bias_hh")):
            getattr(peer, f"{theirs}_{suffix}").copy_(getattr(ours, mine))


@pytest.mark.parametrize(("cell", "peer"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
def test_stacked_layers_equal_those_of_torch(cell, peer):
    ours, theirs = network(cell, layers=3), peer(3, 4, num_layers=3)
    for i, layer in enumerate(ours.layers):
        copy(layer, theirs, f"l{i}")
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(ours(x)[0], ours.readout(theirs(x)[0]))


@pytest.mark.parametrize(("cell", "peer"), [("lstm", nn.LSTM), ("gru", nn.GRU), ("rnn", nn.RNN)])
@pytest.mark.parametrize("layers", [1, 2])
def test_bidirectional_layers_equal_those_of_torch(cell, peer, layers):
    ours = network(cell, layers=layers, bidirectional=True)
    theirs = peer(3, 4, num_layers=layers, bidirectional=True)
    for i, pair in enumerate(ours.layers):
        copy(pair.forwards, theirs, f"l{i}")
        copy(pair.backwards, theirs, f"l{i}_reverse")
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(ours(x)[0], ours.readout(theirs(x)[0]))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_classifier_reads_the_last_state_of_each_direction(bidirectional):
    ours = network(last_step=True, bidirectional=bidirectional)
    theirs = nn.LSTM(3, 4, bidirectional=bidirectional)
    first = ours.layers[0]
    copy(first.forwards if bidirectional else first, theirs, "l0")
    if bidirectional:
        copy(first.backwards, theirs, "l0_reverse")
    x = torch.randn(6, 2, 3)
    _, (h, _) = theirs(x)
    torch.testing.assert_close(ours(x)[0], ours.readout(torch.cat(tuple(h), dim=1)))


def test_a_detached_state_carries_values_but_no_gradient():
    ours = network(layers=2)
    _, states = ours(torch.randn(4, 2, 3))
    cut = detach(states)
    assert all(not value.requires_grad for state in cut for value in state.values)
    assert all(torch.equal(a.values[0], b.values[0]) and a.t == b.t for a, b in zip(cut, states, strict=True))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("last_step", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_sequences_of_different_lengths_equal_packed_sequences_of_torch(layers, last_step, bidirectional):
    ours = network(layers=layers, last_step=last_step, bidirectional=bidirectional)
    theirs = nn.LSTM(3, 4, num_layers=layers, bidirectional=bidirectional)
    for i, layer in enumerate(ours.layers):
        copy(layer.forwards if bidirectional else layer, theirs, f"l{i}")
        if bidirectional:
            copy(layer.backwards, theirs, f"l{i}_reverse")
    x, lengths = torch.randn(6, 3, 3), torch.tensor([6, 2, 4])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    outputs, (h, _) = theirs(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(outputs)
    logits = ours(x, None, None, lengths)[0]
    if last_step:
        torch.testing.assert_close(logits, ours.readout(torch.cat(tuple(h[-2 if bidirectional else -1 :]), dim=1)))
    else:
        for i, length in enumerate(lengths.tolist()):
            torch.testing.assert_close(logits[:length, i], ours.readout(expected)[:length, i])


def test_an_embedding_is_a_linear_layer_on_one_hot_symbols():
    ours = network(embedding=7)
    plain = nn.Linear(3, 7, bias=False)
    with torch.no_grad():
        plain.weight.copy_(ours.embedding.weight.T)
    x = torch.randint(3, (5, 2))
    outputs, _ = ours.run(plain(nn.functional.one_hot(x, 3).float()), None, ours.round().layers, None)
    torch.testing.assert_close(ours(x)[0], ours.readout(outputs))


def test_embedding_and_readout_are_quantized_when_they_are_named():
    design = Design(cells.build("lstm"), quantizers.build("ternary"), quantized=cells.parse_parts("embedding+readout"))
    weights = networks.Network(3, 5, Recipe(hidden=4, updates=1, embedding=6), design).round()
    assert len(weights.embedding.unique()) <= 3
    assert len(weights.readout.unique()) <= 3
    assert len(weights.layers[0].h.unique()) > 3


def test_dropout_acts_in_training_only():
    ours = network(dropout=0.5)
    x = torch.randn(6, 2, 3)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])
