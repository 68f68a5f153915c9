"""Loops as CUDA graphs: on a GPU themselves, elsewhere on a stand-in that keeps a graph's places as a graph does."""

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
here = "cuda" if torch.cuda.is_available() else "cpu"


def graphed(call, samples, allow_unused_input):
    """What torch's does, but where there is no GPU: every run reads and writes the same places, the samples' first."""
    places = {}

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *given):
            with torch.no_grad():
                for place, value in zip(samples, given, strict=True):
                    place.copy_(value)
            with torch.enable_grad():
                places["results"] = call(*samples)
            for at, result in enumerate(places["results"]):
                place = places.setdefault(at, torch.empty_like(result.detach()))
                place.copy_(result.detach())
            return tuple(places[at].detach() for at in range(len(places["results"])))

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, *up):
            learners = [place for place in samples if place.requires_grad]
            found = iter(torch.autograd.grad(places["results"], learners, up, allow_unused=allow_unused_input))
            made = []
            for at, place in enumerate(samples):
                new = next(found) if place.requires_grad else None
                if new is not None:
                    places.setdefault(("gradient", at), torch.empty_like(new)).copy_(new)
                made.append(None if new is None else places["gradient", at].detach())
            return tuple(made)

    return Replay.apply


@pytest.fixture(autouse=True)
def device(monkeypatch):
    monkeypatch.setattr(captured, "_graphs", {})
    check._tried.cache_clear()
    if here == "cpu":
        monkeypatch.setattr(Captured, "device", "cpu")
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    yield
    check._tried.cache_clear()


def pair(cell, name, quantizer="ternary", seed=0):
    """A layer whose loops are captured, and its twin run by the reference."""
    torch.manual_seed(seed)
    built = Recurrent(4, 6, Design(cells.build(cell), quantizers.build(quantizer), name), steps=5)
    for parameter in built.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0.3, 0.7)
    built, twin = built.to(here), copy.deepcopy(built).to(here)
    built.kernels = (Captured(), Reference())
    return built, twin


def both(built, twin, x, state=None):
    """The outputs of both, with the same drawn weights."""
    torch.manual_seed(1)
    ours = built(x, state)
    torch.manual_seed(1)
    return ours, twin(x, state)


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", norm.names())
def test_a_replay_gives_the_outputs_and_gradients_of_the_steps(cell, name):
    built, twin = pair(cell, name)
    state = None
    for turn in range(3):
        x = torch.randn(5, 7, 4, device=here) if turn != 1 else torch.randint(4, (5, 7), device=here)
        (out, end), (wanted, last) = both(built, twin, x, state)
        assert built.kernel_name == "captured"
        close(out, wanted)
        for each, layer in ((out, built), (wanted, twin)):
            each.square().sum().backward()
            layer.learned = [p.grad for p in layer.parameters() if p.requires_grad]
        close(built.learned, twin.learned)  # which add up over the turns
        state = end._replace(values=tuple(value.detach() for value in end.values))
        close(state.values, tuple(value.detach() for value in last.values))


def test_a_layer_that_is_used_twice_before_the_way_back_has_two_graphs():
    built, twin = pair("lstm", "batch_step", "full")
    x = torch.randn(2, 5, 7, 4, device=here)
    for each in (built, twin):
        first, second = (each(part)[0] for part in x)
        (first * second).sum().backward()
    close(built.weight_h.grad, twin.weight_h.grad)
    out, _ = built(x[0])
    built(x[1])  # nobody asks for its gradients
    out.sum().backward()
    made = [len(graphs) for graphs in captured._graphs.values()]
    assert sorted(made) == [1, 2]  # one is the trial's


def test_what_a_replay_gave_is_not_overwritten_by_the_next():
    built, _ = pair("gru", "batch", "full")
    out, _ = built(torch.randn(5, 7, 4, device=here))
    kept = out.detach().clone()
    out.sum().backward()
    gradient = built.weight_h.grad.clone()
    (other := built(torch.randn(5, 7, 4, device=here))[0]).sum()
    assert torch.equal(out, kept)
    assert torch.equal(built.weight_h.grad, gradient)
    assert not torch.equal(other, kept)


def test_loops_that_a_replay_would_get_wrong_are_run_step_by_step(monkeypatch):
    built, _ = pair("lstm", "batch_step")
    x = torch.randn(5, 7, 4, device=here)
    built(x)
    with torch.no_grad():
        built(x)
    assert built.kernel_name == "reference"  # nothing learns
    for module in (built.norm_x, built.norm_h):
        module.collect(True)
    built(x)
    assert built.kernel_name == "reference"  # statistics are gathered
    for module in (built.norm_x, built.norm_h):
        module.collect(False)
    built.eval()
    built(x)
    assert built.kernel_name == "reference"  # scales change from step to step
    built.train()
    monkeypatch.setattr(captured, "SHAPES", len(captured._graphs))
    built(x)
    assert built.kernel_name == "captured"
    built(x[:4])
    assert built.kernel_name == "reference"  # too many shapes


def test_a_device_that_cannot_capture_falls_back_to_the_reference(monkeypatch):
    def fails(*args, **options):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    built, _ = pair("rnn", "layer", seed=3)
    built(torch.randn(5, 7, 4, device=here))
    assert built.kernel_name == "reference"
