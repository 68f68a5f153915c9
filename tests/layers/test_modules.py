"""Layers under torch's signature: torch's values and gradients in full precision, and its ways of being used."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import lowbit
from lowbit.registry import InputError

PAIRS = [(nn.LSTM, lowbit.LSTM), (nn.GRU, lowbit.GRU), (nn.RNN, lowbit.RNN)]
KINDS = [ours for _, ours in PAIRS]
FULL = {"quantizer": "full", "norm": "none"}


def tensors(state):
    return list(state) if isinstance(state, tuple) else [state]


@st.composite
def cases(draw):
    """A pair of layers of equal weights, an input of any form, and a first state or none."""
    theirs, ours = draw(st.sampled_from(PAIRS))
    sizes = {"input_size": draw(st.integers(1, 4)), "hidden_size": draw(st.integers(1, 5))}
    sizes["num_layers"] = draw(st.integers(1, 3))
    options = {name: draw(st.booleans()) for name in ("bias", "batch_first", "bidirectional")}
    if theirs is nn.RNN:
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    torch.manual_seed(draw(st.integers(0, 99)))
    layer = theirs(**sizes, **options, dtype=torch.float64)
    same = ours(**sizes, **options, **FULL, dtype=torch.float64)
    same.load_state_dict(layer.state_dict())
    form, batch = draw(st.sampled_from(["padded", "packed", "alone"])), draw(st.integers(1, 4))
    if form == "packed":
        lengths = draw(st.lists(st.integers(1, 6), min_size=batch, max_size=batch))
        x = [torch.randn(length, sizes["input_size"], dtype=torch.float64) for length in lengths]
    else:
        shape = (draw(st.integers(1, 6)), batch, sizes["input_size"])
        x = torch.randn(shape if form == "padded" else shape[::2], dtype=torch.float64)
        x = x.transpose(0, 1) if options["batch_first"] and form == "padded" else x
    state = None
    if draw(st.booleans()):
        directions = sizes["num_layers"] * (1 + options["bidirectional"])
        shape = (directions, sizes["hidden_size"]) if form == "alone" else (directions, batch, sizes["hidden_size"])
        parts = [torch.randn(shape, dtype=torch.float64) for _ in range(2)]
        state = tuple(parts) if theirs is nn.LSTM else parts[0]
    return layer, same, x, state


def results(layer, x, state):
    """Outputs, last states, and the gradients of parameters, inputs and first state."""
    parts = x if isinstance(x, list) else [x]
    leaves = [part.detach().requires_grad_() for part in parts]
    first = None if state is None else [part.detach().requires_grad_() for part in tensors(state)]
    hx = first if first is None else tuple(first) if isinstance(state, tuple) else first[0]
    output, end = layer(pack_sequence(leaves, enforce_sorted=False) if isinstance(x, list) else leaves[0], hx)
    output = output.data if isinstance(x, list) else output
    total = sum((value * torch.arange(value.numel()).view_as(value).cos()).sum() for value in (output, *tensors(end)))
    gradients = torch.autograd.grad(total, [*layer.parameters(), *leaves, *(first or [])])
    return [output, *tensors(end), *gradients]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_full_precision_is_torch_in_values_states_and_gradients(case):
    layer, same, x, state = case
    for value, expected in zip(results(same, x, state), results(layer, x, state), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
def test_dropout_between_layers_is_torchs(theirs, ours):
    layer = theirs(3, 4, 3, dropout=0.5)
    same = ours(3, 4, 3, dropout=0.5, **FULL)
    same.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3)
    same.eval(), layer.eval()
    torch.testing.assert_close(same(x)[0], layer(x)[0])
    same.train()
    assert not torch.equal(same(x)[0], same(x)[0])


@pytest.mark.parametrize("ours", KINDS)
def test_weights_are_levels_and_get_gradients(ours):
    layer = ours(6, 8, 2, quantizer="ternary", norm="batch")
    for suffix in ("l0", "l1"):
        weights = layer._weights(suffix)
        for w in (weights.x, weights.h):
            assert len(w.detach().abs().unique()) <= 2
    layer(torch.randn(7, 4, 6))[0].square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in layer.parameters())


def test_a_layer_equals_that_of_the_study():
    from lowbit.layers import cells
    from lowbit.layers.recurrent import Design, Recurrent

    layer = lowbit.GRU(5, 6, quantizer="binary", norm="batch_step", steps=9)
    design = Design(cells.build("gru"), layer.quantizer, "batch_step")
    study = Recurrent(5, 6, design, 9)
    names = {"weight_x": "weight_ih_l0", "weight_h": "weight_hh_l0", "bias_x": "bias_ih_l0", "bias_h": "bias_hh_l0"}
    study.load_state_dict({ours: getattr(layer, theirs) for ours, theirs in names.items()}, strict=False)
    x = torch.randn(9, 4, 5)
    torch.testing.assert_close(layer(x)[0], study(x)[0])


@pytest.mark.parametrize("ours", KINDS)
@pytest.mark.parametrize("norm", ["none", "weight", "layer", "rms", "batch", "batch_step"])
def test_a_layer_is_copied_pickled_saved_and_moved_between_dtypes(ours, norm):
    layer, x = ours(3, 4, norm=norm, bidirectional=True), torch.randn(5, 6, 3)
    expected = layer(x)[0]
    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    fresh = ours(3, 4, norm=norm, bidirectional=True)
    fresh.load_state_dict(torch.load(io.BytesIO(saved.getvalue())))
    for same in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
        assert torch.equal(same(x)[0], expected)
    wide = layer.double()(x.double())[0]
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), expected, rtol=1e-4, atol=1e-4)


def test_a_state_of_torch_is_taken_and_any_other_refused():
    layer = lowbit.LSTM(3, 4, norm="batch")
    gain = layer.norms["ih_l0"].gain.clone()
    model = nn.ModuleDict({"a": layer})
    model.load_state_dict(nn.ModuleDict({"a": nn.LSTM(3, 4)}).state_dict())
    assert torch.equal(gain, layer.norms["ih_l0"].gain)
    with pytest.raises(RuntimeError, match="norms.ih_l0.gain"):
        layer.load_state_dict({name: value for name, value in layer.state_dict().items() if name != "norms.ih_l0.gain"})
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict(nn.LSTM(3, 5).state_dict())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of torch's own compiler
def test_autocast_and_compile_change_nothing_but_the_precision():
    layer, x = lowbit.LSTM(3, 4), torch.randn(5, 6, 3)
    expected = layer(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x)[0], expected)
        torch.testing.assert_close(layer(x.bfloat16())[0], expected, rtol=0.1, atol=0.05)
    compiled = torch.compile(nn.Sequential(nn.Identity(), layer), backend="eager")
    assert torch.equal(compiled(x)[0], expected)


def test_from_torch_swaps_every_layer_and_keeps_the_model_as_it_is():
    inner = nn.ModuleDict({"rnn": nn.RNN(4, 3, nonlinearity="relu", bias=False), "none": nn.Identity()})
    model = nn.ModuleDict({"lstm": nn.LSTM(3, 4, 2, batch_first=True), "inner": inner, "out": nn.Linear(4, 2)}).eval()
    swapped = lowbit.from_torch(model, **FULL)
    assert type(model["lstm"]) is nn.LSTM
    assert type(swapped["lstm"]) is lowbit.LSTM
    assert type(swapped["inner"]["rnn"]) is lowbit.RNN
    assert swapped["out"].weight is not model["out"].weight
    assert not swapped["lstm"].training
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(swapped["lstm"](x)[0], model["lstm"](x)[0])
    torch.testing.assert_close(
        swapped["inner"]["rnn"](torch.randn(5, 2, 4) * 0 + 1)[0], model["inner"]["rnn"](torch.ones(5, 2, 4))[0]
    )
    with pytest.raises(InputError, match="projection"):
        lowbit.from_torch(nn.LSTM(3, 4, proj_size=2))


@pytest.mark.parametrize("norm", ["batch", "batch_step"])
def test_calibrated_statistics_are_those_of_all_batches_together(norm):
    layer, x = lowbit.GRU(3, 4, norm=norm, steps=6), torch.randn(6, 40, 3)
    with pytest.raises(InputError, match="calibrate the network first"):
        layer.eval()(x)
    whole = lowbit.calibrate(copy.deepcopy(layer), [x])
    expected = whole(x)[0]
    once = layer.train()(x)[0]
    if norm == "batch_step":  # of the one batch: the statistics of the population are those of the batch
        torch.testing.assert_close(expected, once, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole(x[:, :1])[0], expected[:, :1])
    parts = lowbit.calibrate(layer, [(x,)])
    torch.testing.assert_close(parts(x)[0], expected)
    with pytest.raises(InputError, match="no batch"):
        lowbit.calibrate(layer, [])


def test_packed_sequences_are_normalized_over_those_that_last():
    sequences = [torch.randn(length, 3) for length in (2, 5, 5, 2)]
    layer = lowbit.LSTM(3, 4, norm="batch_step", steps=5)
    padded, lengths = pad_packed_sequence(layer(pack_sequence(sequences, enforce_sorted=False))[0])
    assert lengths.tolist() == [2, 5, 5, 2]
    ahead = torch.stack([sequence[:2] for sequence in sequences], dim=1)
    first = layer(ahead)[0]
    torch.testing.assert_close(padded[:2], first)
    assert not padded[2:, [0, 3]].any()


def test_stochastic_weights_are_sampled_in_training_alone():
    layer, x = lowbit.LSTM(3, 4, quantizer="ternary(stochastic=True)", norm="none"), torch.randn(5, 2, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"proj_size": 2}, "projection"),
        ({"quantizer": "three"}, "no quantizer 'three'; known"),
        ({"norm": "instance"}, "no norm 'instance'; known"),
        ({"quantized": "readout"}, "none for readout here"),
        ({"quantizer": "lat"}, "Adam's second moments"),
        ({"activations": "ternary(stochastic=True)"}, "rounded to the nearest"),
    ],
)
def test_what_cannot_be_is_refused_in_words(choices, message):
    with pytest.raises(InputError, match=message):
        lowbit.LSTM(3, 4, **choices)


def test_wrong_inputs_are_refused_as_torch_refuses_them():
    layer = lowbit.LSTM(3, 4, **FULL)
    for x, hx in itertools.product([torch.randn(5, 2, 3)], [(torch.zeros(1, 2, 5),) * 2, (torch.zeros(1, 3, 4),) * 2]):
        with pytest.raises(RuntimeError, match="Expected a state of size"):
            layer(x, hx)
    with pytest.raises(RuntimeError, match="input.size"):
        layer(torch.randn(5, 2, 4))
    with pytest.raises(InputError, match="2 tensor"):
        layer(torch.randn(5, 2, 3), torch.zeros(1, 2, 4))
    with pytest.raises(RuntimeError, match="input.size"):
        layer(pack_sequence([torch.randn(5, 4)]))
    with pytest.raises(InputError, match="norm 'batch' needs 2 sequences"):
        lowbit.LSTM(3, 4, norm="batch")(pack_sequence([torch.randn(5, 3), torch.randn(4, 3)]))
    with pytest.raises(InputError, match="at least one step"):
        layer(torch.randn(0, 2, 3))


SCRIPT = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 16, batch_first=True)
        self.readout = nn.Linear(16, 5)

    def forward(self, x, state=None):
        y, state = self.lstm(nn.functional.one_hot(x, 5).float(), state)
        return self.readout(y), state

torch.manual_seed(0)
text = torch.arange(20 * 40).remainder(5).view(20, 40)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), 0.02)
losses = []
for _ in range(40):
    logits, _ = model(text[:, :-1])
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), text[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
"""


def test_a_script_that_knows_nothing_of_lowbit_becomes_ternary_by_two_lines():
    ternary = SCRIPT.replace("import torch\n", "import lowbit, torch\n", 1).replace("nn.LSTM(", "lowbit.LSTM(")
    assert sum(a != b for a, b in zip(SCRIPT.splitlines(), ternary.splitlines(), strict=True)) == 2
    for code in (SCRIPT, ternary):
        names = {}
        exec(code, names)
        assert names["losses"][-1] < 0.2 * names["losses"][0]
    weights = names["model"].lstm._weights("l0")
    assert len(weights.h.detach().unique()) == 3
