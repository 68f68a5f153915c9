"""Models of one's own, packed: the same outputs, or refused with the part that has no packed form."""

import numpy as np
import pytest
import torch
from torch import nn

import lowbit
from lowbit.registry import InputError

KINDS = [lowbit.LSTM, lowbit.GRU, lowbit.RNN]


class Tagger(nn.Module):
    """Features or symbols, recurrent layers, a readout of each step or of the last."""

    def __init__(self, kind, embedding=None, last=False, time_first=False, **choices):
        super().__init__()
        self.embedding = nn.Embedding(7, embedding) if embedding else None
        self.rnn = kind(embedding or 7, 6, batch_first=not time_first, **choices)
        self.dropout = nn.Dropout(0.5)
        self.readout = nn.Linear(6, 4)
        self.last, self.axis = last, 0 if time_first else 1

    def forward(self, x):
        if not x.is_floating_point():
            x = nn.functional.one_hot(x, 7).float() if self.embedding is None else self.embedding(x)
        y, _ = self.rnn(x)
        y = self.dropout(y)
        return self.readout(y.select(self.axis, -1) if self.last else y)


def packed(model, x, path, bits=32, **settings):
    return lowbit.load(lowbit.pack(model, path / "own.safetensors", example=x, **settings), bits)


def inputs(form, batch=5, steps=8):
    torch.manual_seed(1)
    return torch.randn(batch, steps, 7) if form == "features" else torch.randint(7, (batch, steps))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["features", "one-hot", "embedding"])
@pytest.mark.parametrize("norm", ["none", "weight", "batch", "batch_step"])
def test_a_packed_model_gives_the_outputs_of_the_model(kind, form, norm, tmp_path):
    torch.manual_seed(0)
    model = Tagger(kind, embedding=5 if form == "embedding" else None, norm=norm, num_layers=2, steps=8)
    x = inputs(form)
    lowbit.calibrate(model, [x])
    y = model(x).detach().numpy()
    same = packed(model, x, tmp_path)
    out, state = same.run(x.transpose(0, 1).numpy(), same.start(5))
    np.testing.assert_allclose(out.transpose(1, 0, 2), y, atol=1e-4)
    assert state.t == 8
    assert same.about["head"] == "each step"
    rounded = lowbit.load(tmp_path / "own.safetensors", 8)
    near = rounded.run(x.transpose(0, 1).numpy(), rounded.start(5))[0].transpose(1, 0, 2)
    assert np.abs(near - y).mean() < 0.1 * np.abs(y).max()


@pytest.mark.parametrize("quantizer", ["full", "binary", "ternary(stochastic=True)", "twn", "ttq", "lsq", "uniform"])
@pytest.mark.parametrize("bias", [True, False])
def test_every_quantizer_and_no_bias(quantizer, bias, tmp_path):
    torch.manual_seed(0)
    model, x = Tagger(lowbit.GRU, quantizer=quantizer, bias=bias, last=True, time_first=True), inputs("features")
    x = x.transpose(0, 1)
    same = packed(model, x, tmp_path)
    assert same.about["head"] == "last step"
    np.testing.assert_allclose(same.run(x.numpy(), same.start(5))[0][-1], model.eval()(x).detach().numpy(), atol=1e-4)


def test_a_trained_model_stays_in_training_and_writes_text(tmp_path):
    model, x = Tagger(lowbit.LSTM), inputs("one-hot")
    model.readout = nn.Linear(6, 7)
    assert lowbit.pack(model, tmp_path / "m", example=x, alphabet="abcdefg").exists()
    assert model.training
    assert len(lowbit.load(tmp_path / "m").generate("ab", 12)) == 12


def test_the_range_of_features_is_that_of_the_example(tmp_path):
    x = inputs("features")
    assert packed(Tagger(lowbit.GRU), x, tmp_path).about["input_range"] == pytest.approx(float(x.abs().max()))


def read_by(readout):
    model = Tagger(lowbit.GRU)
    model.readout = readout
    return model


def relu():
    model = Tagger(lowbit.GRU)
    model.dropout = nn.ReLU()
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Tagger(nn.GRU), "'rnn' is torch's GRU: take `lowbit.from_torch`"),
        (lambda: Tagger(lowbit.GRU, norm="layer"), "norm 'layer' cannot be folded"),
        (lambda: Tagger(lowbit.GRU, norm="batch"), "calibrate the network first"),
        (lambda: Tagger(lowbit.RNN, nonlinearity="relu"), "cell .*relu.* has no packed form; known: gru, lstm"),
        (lambda: Tagger(lowbit.GRU, activations="ternary"), "activations 'ternary' have no packed form"),
        (lambda: read_by(nn.Conv1d(6, 4, 1)), "'readout' .Conv1d. has no packed form"),
        (lambda: read_by(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4))), "1, 2 and 0"),
        (relu, "computes something else"),
    ],
)
def test_a_model_without_a_packed_form_is_refused_by_its_part(model, message, tmp_path):
    with pytest.raises(InputError, match=message):
        lowbit.pack(model(), tmp_path / "m", example=inputs("features"))
    assert not (tmp_path / "m").exists()


def test_layers_in_both_directions_cannot_stream(tmp_path):
    model = Tagger(lowbit.GRU, bidirectional=True)
    model.readout = nn.Linear(12, 4)
    with pytest.raises(InputError, match="cannot stream"):
        lowbit.pack(model, tmp_path / "m", example=inputs("features"))


@pytest.mark.parametrize("example", [None, torch.empty(0, 2, 7)])
def test_an_example_is_needed(example, tmp_path):
    with pytest.raises(InputError, match="give a batch of its inputs"):
        lowbit.pack(Tagger(lowbit.GRU), tmp_path / "m", example=example)


def test_options_of_runs_are_no_options_of_models(tmp_path):
    with pytest.raises(TypeError, match="bits"):
        lowbit.pack(Tagger(lowbit.GRU), tmp_path / "m", example=inputs("features"), bits=4)
    with pytest.raises(TypeError, match="alphabet"):
        lowbit.pack(lowbit.RunSpec(), tmp_path / "m", alphabet="ab")
