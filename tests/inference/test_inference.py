"""Packed models: the same network in a small file."""

import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("numba")
pytest.importorskip("safetensors")

import lowbit
from lowbit import quantizers
from lowbit.inference import deploy, file, grid, model, plain
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate, train, trained

SMALL = "smoke(hidden=16, updates=4, evaluate_every=4, calibration=2, batch=4, steps=8)"


def calibrated(**choices):
    spec = RunSpec(**{"budget": SMALL, **choices})
    network = train.build(spec)
    for norm in network.norms():  # gains and biases that are not all alike
        torch.nn.init.uniform_(norm.gain, 0.1, 1.0) if norm.gain.requires_grad else None
    evaluate.calibrate(network, spec.data, spec.recipe, sample=False)
    return spec, network


def packed(path, bits, separate_steps=0, symbols=True, **choices):
    spec, network = calibrated(**choices)
    deploy.write(network, spec, path, separate_steps, symbols)
    return spec, deploy.share(network, separate_steps), model.load(path, bits)


@torch.no_grad()
def outputs(network, x):
    return network(x, None, network.round(sample=False))[0].numpy()


def symbols(spec, steps=20, batch=3):
    return torch.randint(spec.data.inputs, (steps, batch), generator=torch.Generator().manual_seed(1))


CELLS = ("gru", "lstm", "lstm(normalize_cell=True)", "rnn")


@pytest.mark.parametrize("norm", ["batch", "batch_step", "none", "weight"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_packed_network_gives_the_logits_of_the_network(cell, norm, tmp_path):
    if "normalize_cell" in cell and norm in ("none", "weight"):
        pytest.skip("this norm cannot normalize the cell")
    spec, network, streams = packed(tmp_path / "m.safetensors", 32, separate_steps=5, cell=cell, norm=norm)
    x = symbols(spec)
    y, _ = streams.run(x.numpy(), streams.start(batch=3))
    np.testing.assert_allclose(y, outputs(network, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantizer", quantizers.names())
def test_every_quantizer_can_be_packed(quantizer, tmp_path):
    choices = {"budget": SMALL.replace("batch=4", "batch=4, optimizer='adam'")}
    spec, network, streams = packed(
        tmp_path / "m.safetensors", 32, quantizer=quantizer, quantized=parts(quantizer), **choices
    )
    x = symbols(spec)
    y, _ = streams.run(x.numpy(), streams.start(batch=3))
    np.testing.assert_allclose(y, outputs(network, x), rtol=1e-4, atol=1e-5)


def parts(quantizer):
    fits = quantizers.build(quantizer).fits
    return "+".join(part for part in ("input", "recurrent", "embedding", "readout") if part in fits)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("quantizer", ["binary", "exponential", "ternary", "uniform(bits=4)"])
@pytest.mark.parametrize("cell", CELLS)
def test_rounded_activations_change_outputs_by_their_rounding(cell, quantizer, bits, tmp_path):
    _, _, exact = packed(tmp_path / "m.safetensors", 32, cell=cell, quantizer=quantizer, norm="batch_step")
    rounded = model.load(tmp_path / "m.safetensors", bits)
    x = np.arange(12) % exact.about["inputs"]
    y, _ = exact.run(x, exact.start())
    z, _ = rounded.run(x, rounded.start())
    assert 0 < np.abs(y - z).max() < 8 * 2.0**-bits * np.abs(exact.readout).sum(1).max()


@pytest.mark.parametrize("cell", CELLS)
def test_compiled_cells_agree_with_numpy(cell, tmp_path):
    _, _, streams = packed(tmp_path / "m.safetensors", 12, cell=cell)
    (layer,) = streams.layers
    state, expected_state = layer.start(), layer.start()
    x = np.arange(20) % streams.about["inputs"]
    h = layer.run(x, state, 0)

    def product(h):
        return layer.h(np.clip(np.rint(h * np.float32(2**11)), 1 - 2**11, 2**11 - 1).astype(np.int16)).astype(
            np.float32
        )

    expected = np.empty_like(h)
    plain.run(layer, product, layer.table, x, 0, expected_state, expected)
    np.testing.assert_allclose(h, expected, atol=2e-6)
    np.testing.assert_allclose(state, expected_state, atol=2e-6)


def test_single_steps_and_batches_equal_one_run(tmp_path):
    spec, _, streams = packed(tmp_path / "m.safetensors", 8, budget=SMALL.replace(")", ", layers=2)"))
    x = symbols(spec).numpy()
    whole, end = streams.run(x, streams.start(batch=3))
    state = streams.start(batch=3)
    for n, symbol in enumerate(x):
        y, state = streams.step(symbol, state)
        np.testing.assert_allclose(y, whole[n], atol=1e-5)
    single, state = streams.run(x[:, 1], streams.start())
    np.testing.assert_allclose(single, whole[:, 1], atol=1e-5)
    assert state.t == end.t == len(x)
    np.testing.assert_array_equal(state.layers[1], end.layers[1][1])


def test_a_step_does_not_change_the_state_before_it(tmp_path):
    _, _, streams = packed(tmp_path / "m.safetensors", 8)
    _, state = streams.step(1, streams.start())
    copy = state.layers[0].copy()
    first, _ = streams.step(0, state)
    second, _ = streams.step(0, state)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(state.layers[0], copy)


def test_features_and_embeddings_can_be_inputs(tmp_path):
    spec, network, exact = packed(tmp_path / "m.safetensors", 32, symbols=False, dataset="digits", norm="batch")
    x = next(spec.data.alone("test", 4)).x
    y, _ = exact.run(x.numpy(), exact.start(batch=x.shape[1]))
    np.testing.assert_allclose(y[-1], outputs(network, x), rtol=1e-4, atol=1e-5)
    rounded = model.load(tmp_path / "m.safetensors", 12)
    z, _ = rounded.run(x.numpy(), rounded.start(batch=x.shape[1]))
    np.testing.assert_allclose(z, y, atol=0.02)
    spec, network, exact = packed(tmp_path / "e.safetensors", 32, budget=SMALL.replace(")", ", embedding=7)"))
    x = symbols(spec)
    y, _ = exact.run(x.numpy(), exact.start(batch=3))
    np.testing.assert_allclose(y, outputs(network, x), rtol=1e-4, atol=1e-5)


def test_a_changed_byte_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    packed(path, 32)
    content = path.read_bytes()
    for i in range(8, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        with pytest.raises(InputError, match="damaged|format"):
            model.load(path)
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="damaged"):
        model.load(path)


def test_unsupported_networks_and_files_are_errors(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError, match="no packed model at"):
        model.load(path)
    for choices in (
        {"cell": "min_gru"},
        {"cell": "gru(reset='cho2014')"},
        {"cell": "rnn(activation='relu')"},
        {"norm": "layer"},
        {"activations": "binary"},
    ):
        with pytest.raises(InputError, match="known|folded"):
            packed(path, 32, **choices)
    assert not path.exists()
    packed(path, 32)
    with pytest.raises(InputError, match="known: 8, 12, 32"):
        model.load(path, 9)
    streams = model.load(path)
    with pytest.raises(InputError, match="symbols from 0"):
        streams.step(99, streams.start())
    with pytest.raises(InputError, match="one symbol"):
        streams.step(np.array([0.5], np.float32), streams.start())


def test_shared_statistics_are_those_of_the_products_of_all_steps(tmp_path):
    _, network = calibrated(norm="batch_step")
    (norm, *_) = network.norms()
    mean = norm.total.sum(0) / norm.count.sum()
    (shared, *_) = deploy.share(network).norms()
    scale, shift = shared.fold(norm.gain[:, None])
    assert len(scale) == 1
    torch.testing.assert_close(-shift[0] / scale[0], mean.float())
    (some, *_) = deploy.share(network, separate_steps=3).norms()
    assert len(some.count) == 4
    torch.testing.assert_close(some.fold(norm.gain[:, None])[0][:3], norm.fold(norm.gain[:, None])[0][:3])


@pytest.mark.parametrize(("quantizer", "bits"), [("binary", 1), ("ternary", 1.6), ("uniform(bits=4)", 4)])
def test_a_weight_takes_its_number_of_bits_on_disk(quantizer, bits, tmp_path):
    spec, network = calibrated(quantizer=quantizer, budget=SMALL.replace("hidden=16", "hidden=40"))
    deploy.write(network, spec, tmp_path / "m.safetensors")
    arrays, _ = file.read(tmp_path / "m.safetensors")
    assert arrays["layers.0.recurrent.codes"].nbytes * 8 == bits * network.layers[0].weight_h.numel()


def test_codes_times_their_scale_are_the_weights():
    w = torch.randn(12, 9, generator=torch.Generator().manual_seed(0))
    for name in quantizers.names():
        quantizer = quantizers.build(name)
        if not quantizer.levels or name == "hadamard":
            continue
        codes, book = quantizer.encode(w)
        matrix = grid.Matrix(codes.numpy(), grid.shortest(book.numpy(), 1))
        np.testing.assert_array_equal(matrix.values, quantizer.decode(codes, book).numpy())
        weights = grid.grid(matrix, grid.WIDEST)
        if weights is not None:
            np.testing.assert_allclose(weights.whole * weights.scale[:, None], matrix.values, rtol=1e-5)
        else:
            assert name in ("alternating", "lat", "ttq"), name


def test_loading_and_streaming_need_no_torch_and_later_processes_no_numba(tmp_path):
    packed(tmp_path / "m.safetensors", 12)
    code = (
        "import sys, lowbit\n"
        f"m = lowbit.load({str(tmp_path / 'm.safetensors')!r})\n"
        "y, state = m.step(1, m.start())\n"
        "m.generate([0, 1], 5)\n"
        "sys.exit(bool({'torch', 'numba'} & set(sys.modules)) or len(y) != m.about['outputs'])\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_state_of_another_model_is_refused(tmp_path):
    _, _, streams = packed(tmp_path / "m.safetensors", 8)
    _, _, other = packed(tmp_path / "o.safetensors", 8, budget=SMALL.replace("hidden=16", "hidden=17"))
    with pytest.raises(InputError, match="of another model"):
        streams.step(1, other.start())
    with pytest.raises(InputError, match="one symbol"):
        streams.step(1, streams.start(batch=2))


def test_the_packed_model_of_a_run_generates_symbols(tmp_path, monkeypatch):
    spec = RunSpec(budget=SMALL)
    monkeypatch.setattr(trained, "network", train.build)  # training has tests of its own
    lowbit.pack(spec, tmp_path / "m.safetensors")
    streams = lowbit.load(tmp_path / "m.safetensors")
    assert RunSpec(**streams.spec) == spec
    sample = streams.generate(np.array([0, 1]), 30, seed=3)
    assert len(sample) == 30
    assert set(sample) <= set(range(spec.data.outputs))
    np.testing.assert_array_equal(sample, streams.generate(np.array([0, 1]), 30, seed=3))
    y, _ = streams.run(np.array([0, 1]), streams.start())
    assert streams.generate(np.array([0, 1]), 1, temperature=1e-6)[0] == y[-1].argmax()


def test_a_model_of_text_generates_text(tmp_path):
    data = RunSpec(dataset="stdlib").data
    spec = RunSpec(dataset="stdlib", budget=SMALL)
    network = train.build(spec)
    evaluate.calibrate(network, data, spec.recipe, sample=False)
    deploy.write(network, spec, tmp_path / "m.safetensors", alphabet=data.alphabet)
    streams = model.load(tmp_path / "m.safetensors")
    assert len(data.alphabet) == data.outputs
    codes = data.splits["test"][0][:200]
    text = "".join(data.alphabet[code] for code in codes)
    np.testing.assert_array_equal(streams.encode(text), codes)
    sample = streams.generate("import ", 20)
    assert len(sample) == 20
    assert set(sample) <= set(data.alphabet)
    with pytest.raises(InputError, match="does not know"):
        streams.generate("\N{SNOWMAN}", 1)


def test_a_packed_model_is_the_same_file_each_time(tmp_path):
    arrays = {"weights": np.arange(7, dtype=np.uint8), "scale": np.ones((3, 2), np.float32)}
    for number in range(6):  # three entries of metadata have six orders
        file.write(tmp_path / str(number), arrays, {"name": "größe", "bits": 2})
    assert len({(tmp_path / str(number)).read_bytes() for number in range(6)}) == 1
    read, about = file.read(tmp_path / "0")
    assert about == {"name": "größe", "bits": 2}
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)
