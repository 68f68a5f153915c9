"""Loops as CUDA graphs: on a GPU, or on a stand-in that writes to the same buffers as a graph."""

import copy

import pytest
import torch

from lowbit import quantizers
from lowbit.layers import cells, norm
from lowbit.layers.kernels import captured, check
from lowbit.layers.kernels.captured import Captured
from lowbit.layers.kernels.reference import Reference
from lowbit.layers.recurrent import Design, Recurrent

CELLS = ["rnn", "gru", "gru(reset='cho2014')", "lstm(normalize_cell=True)", "min_lstm"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def graphed(call, samples, allow_unused_input):
    """torch's function for a CPU: every run reads and writes the buffers of the sample arguments."""
    buffers = {}

    def written(key, value):
        buffer = buffers.setdefault(key, torch.empty_like(value))
        return buffer.copy_(value).detach()

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            with torch.no_grad():
                for sample, value in zip(samples, tensors, strict=True):
                    sample.copy_(value)
            with torch.enable_grad():
                buffers["results"] = call(*samples)
            return tuple(written(key, result.detach()) for key, result in enumerate(buffers["results"]))

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, *up):
            learners = [sample for sample in samples if sample.requires_grad]
            gradients = iter(torch.autograd.grad(buffers["results"], learners, up, allow_unused=allow_unused_input))
            gradients = [next(gradients) if sample.requires_grad else None for sample in samples]
            return tuple(
                gradient if gradient is None else written(("gradient", key), gradient)
                for key, gradient in enumerate(gradients)
            )

    return Replay.apply


@pytest.fixture(autouse=True)
def device(monkeypatch):
    monkeypatch.setattr(captured, "_graphs", {})
    check._compared.cache_clear()
    if DEVICE == "cpu":
        monkeypatch.setattr(Captured, "device", "cpu")
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    yield
    check._compared.cache_clear()


def pair(cell, name, quantizer="ternary", seed=0):
    """A layer whose loops are captured, and a copy that the reference runs."""
    torch.manual_seed(seed)
    layer = Recurrent(4, 6, Design(cells.build(cell), quantizers.build(quantizer), name), steps=5)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0.3, 0.7)
    layer, twin = layer.to(DEVICE), copy.deepcopy(layer).to(DEVICE)
    layer.kernels = (Captured(), Reference())
    return layer, twin


def both(layer, twin, x, state=None):
    """Returns the outputs of both, with the same samples of the weights."""
    torch.manual_seed(1)
    ours = layer(x, state)
    torch.manual_seed(1)
    return ours, twin(x, state)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", norm.names())
def test_a_replay_gives_the_outputs_and_gradients_of_the_steps(cell, name):
    layer, twin = pair(cell, name)
    state = None
    for turn in range(3):
        x = torch.randn(5, 7, 4, device=DEVICE) if turn != 1 else torch.randint(4, (5, 7), device=DEVICE)
        (out, end), (expected, last) = both(layer, twin, x, state)
        assert layer.kernel_name == "captured"
        close(out, expected)
        (out.square().sum() + expected.square().sum()).backward()
        gradients = [[p.grad for p in module.parameters() if p.requires_grad] for module in (layer, twin)]
        close(*gradients)  # which add up over the turns
        state = end._replace(values=tuple(value.detach() for value in end.values))
        close(state.values, tuple(value.detach() for value in last.values))


def test_a_layer_that_runs_twice_before_a_backward_pass_has_two_graphs():
    layer, twin = pair("lstm", "batch_step", "full")
    x = torch.randn(2, 5, 7, 4, device=DEVICE)
    for module in (layer, twin):
        first, second = (module(part)[0] for part in x)
        (first * second).sum().backward()
    close(layer.weight_h.grad, twin.weight_h.grad)
    out, _ = layer(x[0])
    layer(x[1])  # no backward pass follows
    out.sum().backward()
    assert sorted(map(len, captured._graphs.values())) == [1, 2]  # one is of the check against the reference


def test_the_next_replay_does_not_overwrite_the_results_of_the_last():
    layer, _ = pair("gru", "batch", "full")
    out, _ = layer(torch.randn(5, 7, 4, device=DEVICE))
    before = out.detach().clone()
    out.sum().backward()
    gradient = layer.weight_h.grad.clone()
    other, _ = layer(torch.randn(5, 7, 4, device=DEVICE))
    assert torch.equal(out, before)
    assert torch.equal(layer.weight_h.grad, gradient)
    assert not torch.equal(other, before)


def test_loops_that_a_replay_would_compute_wrongly_run_step_by_step(monkeypatch):
    layer, _ = pair("lstm", "batch_step")
    x = torch.randn(5, 7, 4, device=DEVICE)
    layer(x)
    with torch.no_grad():
        layer(x)
    assert layer.kernel_name == "reference"  # no gradient is needed
    for module in (layer.norm_x, layer.norm_h):
        module.collect(True)
    layer(x)
    assert layer.kernel_name == "reference"  # statistics are gathered
    for module in (layer.norm_x, layer.norm_h):
        module.collect(False)
    layer.eval()
    layer(x)
    assert layer.kernel_name == "reference"  # scales change from step to step
    layer.train()
    monkeypatch.setattr(captured, "SHAPES", len(captured._graphs))
    layer(x)
    assert layer.kernel_name == "captured"
    layer(x[:4])
    assert layer.kernel_name == "reference"  # too many shapes


def test_a_device_that_cannot_capture_falls_back_to_the_reference(monkeypatch):
    def fails(*args, **options):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    layer, _ = pair("rnn", "layer", seed=3)
    layer(torch.randn(5, 7, 4, device=DEVICE))
    assert layer.kernel_name == "reference"
