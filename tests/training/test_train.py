import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from lowbit import quantizers
from lowbit.quantizers import Site
from lowbit.registry import InputError, parse
from lowbit.studies import store
from lowbit.studies.spec import RunSpec
from lowbit.training import checkpoint, evaluate, train, weights

TINY = "smoke(updates=12, evaluate_every=4, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


def tiny(**fields):
    return RunSpec(**{"budget": TINY, "quantizer": "ternary(stochastic=True)"} | fields)


def changed(text, **fields):
    name, options = parse(TINY)
    options |= parse(f"{name}({text})")[1]
    return tiny(**fields, budget=f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})")


def interrupted(spec, at):
    def watch(update, *_):
        if update == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(spec, watch)


@pytest.mark.parametrize(
    "spec",
    [
        tiny(),
        changed("valid_limit=16, test_limit=16", dataset="digits", cell="gru"),
        changed("carry=True", norm="layer"),
        changed("optimizer='sgd'"),
    ],
    ids=["text", "classes", "carried", "sgd"],
)
def test_the_same_spec_gives_the_same_digest_and_an_interrupted_run_too(spec):
    whole = train.train(spec)
    train.checkpoint_path(spec).unlink()
    assert train.train(spec).digest == whole.digest
    train.checkpoint_path(spec).unlink()
    interrupted(spec, 6)
    interrupted(spec, 9)
    assert train.train(spec).digest == whole.digest


def test_another_seed_gives_another_record():
    assert train.train(tiny()).digest != train.train(tiny(seed=1)).digest


def test_a_record_is_recalled_not_trained_again():
    spec = tiny()
    first = train.recall(spec)

    def watch(*_):
        raise AssertionError("trained")

    assert train.recall(spec, watch) == first == store.load(spec)
    assert not train.checkpoint_path(spec).exists()


def test_the_rate_falls_geometrically_from_first_to_final():
    session = train.Session(changed("rate=0.01, final_rate=0.0001, divide=0.0"))
    rates = []
    for session.update in (0, 6, 12):
        rates.append(session._rate())
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4])


def test_the_rate_is_divided_when_validation_does_not_improve(monkeypatch):
    scores = iter([3.0, 2.0, 2.5, 1.0])
    session = train.Session(changed("divide=4.0, rate=0.4"))
    monkeypatch.setattr(evaluate, "validation", lambda *_: next(scores))
    for _ in range(4):
        session._validate(1.0)
    assert session.rate == pytest.approx(0.1)
    assert [point["rate"] for point in session.curve] == pytest.approx([0.4, 0.4, 0.4, 0.1])


def test_training_stops_when_patience_ends_and_keeps_the_best(monkeypatch):
    scores = iter([3.0, 2.0, 2.5, 2.6, 1.0])
    session = train.Session(changed("patience=2, updates=40"))
    monkeypatch.setattr(evaluate, "validation", lambda *_: next(scores))
    session.run()
    assert [point["valid"] for point in session.curve] == [3.0, 2.0, 2.5, 2.6]


def test_gradients_are_clipped_to_the_norm():
    session = train.Session(changed("clip_norm=0.001, optimizer='sgd', rate=1.0"))
    before = [p.detach().clone() for p in session.network.parameters()]
    session._step(next(session._batches()))
    moved = [(p.detach() - b).square().sum() for p, b in zip(session.network.parameters(), before, strict=True)]
    assert math.sqrt(sum(moved)) == pytest.approx(0.001, rel=1e-3)


def test_masters_stay_within_the_outermost_levels_when_clipped():
    free, bound = train.Session(changed("rate=0.5")), train.Session(changed("rate=0.5, clip_masters=True"))
    for session in (free, bound):
        session.run()
        layer = session.network.layers[0]
        top = float(layer.quantizer.scale(layer.weight_h, layer.site_h))
        inside = layer.weight_h.abs().max() <= top * 1.0001
        assert inside == (session is bound)


@pytest.mark.parametrize("norm", ["none", "batch_step", "layer", "weight"])
@pytest.mark.parametrize(("quantizer", "quantized"), [("full", "input+recurrent"), ("ternary", "recurrent")])
def test_clipping_treats_full_precision_as_it_treats_few_bits_where_a_norm_takes_the_size_out(
    norm, quantizer, quantized
):
    spec = changed("rate=0.5, clip_masters=True", quantizer=quantizer, quantized=quantized, norm=norm)
    session = train.Session(spec)
    session.run()
    layer = session.network.layers[0]
    scale = quantizers.build("ternary").scale(layer.weight_x, layer.site_x)
    assert bool(layer.weight_x.abs().max() <= 1.0001 * scale) == (norm != "none")


@pytest.mark.parametrize("quantizer", quantizers.names())
def test_every_quantizer_has_a_bound_for_its_masters(quantizer):
    built, w = quantizers.build(quantizer), torch.randn(64, 64)
    bound = built.bound(w, Site.of(w))
    assert 0 < float(bound.max()) < math.inf
    if built.levels and built.fixed:
        assert torch.equal(bound, max(map(abs, built.levels)) * built.scale(w, Site.of(w)))


def test_a_carried_state_starts_the_next_segment():
    session = train.Session(changed("carry=True"))
    batches = session._batches()
    session._step(next(batches))
    session._step(next(batches))
    assert session.states[0].t == 16
    assert not session.states[0].values[0].grad_fn.name().startswith("Detach")


def test_a_record_describes_the_final_weights():
    spec = tiny()
    record = train.recall(spec)
    told = record.weights["layers.0.weight_h"]
    count = 4 * 8 * 8
    assert sum(told["histogram"]) == sum(told["codes"]) == count
    assert 0 <= told["saturated"] <= 1
    assert record.sizes["packed_bytes"] == -(-4 * 8 * 8 // 5) + -(-4 * 8 * spec.data.inputs // 5)


def test_full_precision_weights_are_not_packed():
    record = train.recall(tiny(quantizer="full"))
    assert record.sizes["packed_bytes"] == 4 * record.sizes["recurrent_weights"]
    assert "codes" not in record.weights["layers.0.weight_x"]


def test_a_checkpoint_that_cannot_be_written_is_reported(home):
    (home / "runs").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot write"):
        train.train(tiny())


def test_a_batch_larger_than_the_data_is_reported():
    with pytest.raises(InputError, match="a batch of 5000 sequences .* needs 5000 items"):
        train.train(tiny(dataset="digits", budget=TINY.replace("batch=8", "batch=5000")))


def test_describe_counts_every_quantized_matrix():
    spec = tiny(cell="gru")
    network = train.build(spec)
    assert set(weights.describe(network)) == {"layers.0.weight_x", "layers.0.weight_h"}


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(123)
    one = train.build(tiny()).state_dict()
    other = train.build(tiny()).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_markov_lstm_comes_within_a_twentieth_bit_of_the_entropy():
    record = train.train(RunSpec(quantizer="full", budget="tour"))
    entropy = record.data["entropy_bits"]
    assert entropy - 0.02 < record.metrics["deployed"] < entropy + 0.05
    assert dataclasses.asdict(record)["curve"]


def test_an_update_without_a_finite_gradient_is_left_out_and_counted():
    spec = changed("rate=1e6, final_rate=1e6", cell="rnn(activation='relu')", norm="none", quantizer="full")
    session = train.Session(spec)
    session.run()
    assert session.curve[-1]["skipped"] > 0
    assert all(p.isfinite().all() for p in session.network.parameters())
    train.checkpoint_path(spec).unlink()


def test_the_clip_of_the_released_code_changes_nothing():
    """A's code clips the update, which is far smaller than the scale, instead of the weight."""
    plain, clipped = changed("rate=2e-3"), changed("rate=2e-3, clip_steps=True")
    weights_of = [train.train(spec).weights for spec in (plain, clipped)]
    assert weights_of[0]["layers.0.weight_h"]["codes"] == weights_of[1]["layers.0.weight_h"]["codes"]
    assert weights_of[0]["layers.0.weight_h"]["scale"] == weights_of[1]["layers.0.weight_h"]["scale"]


def test_an_optimizer_that_restarts_forgets_its_moments_at_each_validation():
    session = train.Session(changed("restart=True"))
    session.run()
    assert not session.optimizer.state
    assert train.train(changed("restart=True")).digest != train.train(tiny()).digest


def test_a_gradient_that_is_large_but_finite_is_no_reason_to_leave_an_update_out():
    session = train.Session(tiny())
    batch = next(session._batches())
    before = weights.masters(session.network)
    session.network.readout.bias.register_hook(lambda grad: torch.full_like(grad, 3e38))
    session._step(batch)
    assert session.skipped == 0
    assert not torch.equal(before[0], weights.masters(session.network)[0])
    session.network.readout.bias.register_hook(lambda grad: torch.full_like(grad, math.nan))
    session._step(batch)
    assert session.skipped == 1


STUCK = {"cell": "rnn(activation='relu')", "norm": "none", "quantizer": "full"}


def test_a_run_without_finite_gradients_is_marked_as_diverged_in_strict_json():
    def refuse(word):
        raise ValueError(word)

    spec = changed("rate=1e9, final_rate=1e9", **STUCK)
    record = train.recall(spec)
    assert record.diverged
    content = json.loads(store.path(spec).read_text(), parse_constant=refuse)
    assert content["diverged"] is True
    assert content["curve"][-1]["train_nats"] is None
    assert train.recall(spec) == record
    assert store.scan().problems == []


@pytest.mark.parametrize("quantizer", ["full", "ternary", "ternary(stochastic=True)", "uniform(bits=4)"])
def test_weights_that_are_no_numbers_still_end_in_a_record(quantizer):
    session = train.Session(tiny(quantizer=quantizer))
    session.run()
    session.best = None
    with torch.no_grad():
        for parameter in session.network.parameters():
            parameter.fill_(math.nan)
    record = session.record()
    assert record.diverged
    store.save(record)
    assert store.load(record.run) == record


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"\x00" * 5000, cut, flipped], ids=range(4))
def test_a_damaged_checkpoint_is_set_aside_and_training_starts_anew(damage):
    spec = tiny()
    whole = train.train(spec)
    train.checkpoint_path(spec).unlink()
    interrupted(spec, 9)
    file = train.checkpoint_path(spec)
    file.write_bytes(damage(file.read_bytes()))
    damaged = file.read_bytes()
    with pytest.warns(UserWarning, match="cannot be read .* training starts anew"):
        record = train.train(spec)
    assert record.digest == whole.digest
    assert file.with_name(f"{file.name}.damaged").read_bytes() == damaged


class Trap:
    """Creates a file if its pickle is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_no_code_in_a_checkpoint_or_network_is_run(tmp_path):
    spec, mark = tiny(), tmp_path / "mark"
    checkpoint.save({"made_by": Trap(mark)}, train.checkpoint_path(spec))
    with pytest.warns(UserWarning, match="training starts anew"):
        train.Session(spec)
    assert not mark.exists()


@pytest.mark.parametrize("values", [[], {}, {"update": 3}])
def test_a_checkpoint_that_lacks_something_is_set_aside(values):
    spec = tiny()
    made_by = train.Session(spec).made_by
    for content in (values, {**dict(values), "made_by": made_by}):
        checkpoint.save(content, train.checkpoint_path(spec))
        with pytest.warns(UserWarning, match="training starts anew"):
            assert train.Session(spec).update == 0
