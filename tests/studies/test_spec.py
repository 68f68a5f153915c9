import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit import datasets, paths, quantizers
from lowbit.layers import cells, norm
from lowbit.registry import InputError
from lowbit.studies import spec, store
from lowbit.studies.spec import RunSpec

PARTS = ("input", "recurrent", "biases")
specs = st.fixed_dictionaries(
    {
        "dataset": st.sampled_from(datasets.local()),
        "cell": st.sampled_from(cells.names()),
        "quantizer": st.sampled_from([q for q in quantizers.variants() if set(PARTS) <= set(quantizers.build(q).fits)]),
        "norm": st.sampled_from(norm.names()),
        "quantized": st.sampled_from(["input", "recurrent", "+".join(PARTS)]),
        "seed": st.integers(0, 99),
    }
)


@settings(max_examples=50, deadline=None)
@given(specs, specs)
def test_keys_are_file_names_and_differ_between_specs(one, other):
    one, other = RunSpec(**one), RunSpec(**other)
    assert set(one.key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
    assert (one.key == other.key) == (one == other)


@settings(max_examples=50, deadline=None)
@given(specs)
def test_a_spec_reads_back_from_its_fields(one):
    one = RunSpec(**one)
    fields = dataclasses.asdict(one)
    assert RunSpec(**fields) == one
    assert spec.read([f"{name}={value}" for name, value in fields.items()]) == one


def test_equivalent_spellings_are_the_same_run():
    one = RunSpec(quantizer="uniform(bits = 4)", budget="smoke( updates=9 , batch=8)")
    assert one.quantizer == "uniform"
    assert one == RunSpec(quantizer="uniform", budget="smoke(batch=8, updates=9)")


def test_a_budget_changes_its_recipe():
    changed = RunSpec(budget="smoke(hidden=7, layers=2)").recipe
    assert changed == dataclasses.replace(RunSpec().recipe, hidden=7, layers=2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataset", "ptb", "no dataset 'ptb'; known: .*digits, .*markov, "),
        ("cell", "lstn", "no cell 'lstn'; known: gru, lstm, min_gru, min_lstm, mlgru, rnn"),
        ("quantizer", "tern", "no quantizer 'tern'; known: .*binary, binaryconnect"),
        ("norm", "batchnorm", "no norm 'batchnorm'; known: batch, batch_step, layer, none, rms, weight"),
        ("quantized", "softmax", "cannot quantize 'softmax'; known: input, recurrent, biases, embedding, readout"),
        ("budget", "huge", "no budget 'huge' for .*; known: smoke"),
        ("budget", "smoke(units=3)", "recipe 'smoke' has no field 'units'; known: hidden"),
        ("budget", "smoke(hidden='a')", "field 'hidden' of recipe 'smoke' takes a whole number, not 'a'"),
        ("seed", -1, "a seed is a whole number from 0, not -1"),
    ],
)
def test_a_wrong_field_is_refused_in_one_line(field, value, message):
    with pytest.raises(InputError, match=message) as error:
        RunSpec(**{field: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantizer": "full(stochastic=True)"}, "'full' cannot be stochastic"),
        ({"budget": "smoke(batch=1)"}, "norm 'batch_step' needs a batch of at least 2"),
        ({"cell": "lstm(normalize_cell=True)", "norm": "none"}, "which norm 'none' cannot"),
        ({"budget": "smoke(bidirectional=True)"}, "would see the symbol that it predicts"),
        ({"dataset": "digits", "budget": "smoke(bidirectional=True, carry=True)"}, "no state to carry"),
        ({"cell": "rnn", "budget": "smoke(chrono=9)"}, "chrono is for a forget gate, which cell 'rnn' lacks"),
        ({"budget": "smoke(hidden=0)"}, "hidden"),
        ({"budget": "smoke(optimizer='rmsprop')"}, "no optimizer 'rmsprop'; known: adam, sgd"),
    ],
)
def test_impossible_combinations_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        RunSpec(**fields)


@pytest.mark.parametrize(("word", "message"), [("sed=1", "no field 'sed'; known: dataset"), ("seed=x", "not 'x'")])
def test_arguments_of_the_command_line_are_checked(word, message):
    with pytest.raises(InputError, match=message):
        spec.read([word])


@pytest.mark.parametrize(
    ("spelled", "plain"),
    [
        ({"quantized": "recurrent+input"}, {}),
        ({"quantized": "input+input"}, {"quantized": "input"}),
        ({"budget": "smoke(hidden=32)"}, {}),
        ({"budget": "smoke(hidden=32, layers=2)"}, {"budget": "smoke(layers=2)"}),
        ({"budget": "smoke(rate=1)"}, {"budget": "smoke(rate=1.0)"}),
        ({"dataset": "markov(seed=0)"}, {"dataset": "markov"}),
    ],
)
def test_one_run_has_one_key(spelled, plain):
    assert RunSpec(**spelled) == RunSpec(**plain)
    assert RunSpec(**spelled).key == RunSpec(**plain).key


def test_a_committed_record_keeps_its_spec_and_its_key():
    folder = paths.SOURCE / "results"
    files = [file for file in folder.glob("*/*.json") if file.parent.name not in (*store.APART, "packed")]
    assert files
    for file in files:
        fields = json.loads(file.read_text())["spec"]
        run = RunSpec(**fields)
        assert run.key == file.stem
        assert dataclasses.asdict(run) == {**dataclasses.asdict(run), **fields}


def test_every_number_of_a_recipe_has_its_limits():
    numbers = [field.name for field in dataclasses.fields(datasets.Recipe) if field.type in (int, float)]
    assert {*spec.LIMITS, "divide"} == set(numbers)


@pytest.mark.parametrize("name", [*spec.LIMITS, "divide"])
def test_a_number_beyond_its_limits_is_refused_by_name(name):
    kind = type(getattr(RunSpec().recipe, name))
    for value in (kind(-1), kind(10**15)):
        with pytest.raises(InputError, match=name):
            RunSpec(budget=f"smoke({name}={value!r})")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": 5}, "dataset is a name, not 5"),
        ({"norm": None}, "norm is a name, not None"),
        ({"seed": True}, "not True"),
        ({"seed": 1.0}, r"not 1\.0"),
        ({"seed": 10**14}, "at most 4,294,967,295"),
        ({"budget": "smoke(hidden=60000)"}, "weights are more than"),
        ({"budget": "smoke(batch=65536, steps=1000000)"}, "sums of gates are more than"),
        ({"budget": "smoke(hidden=32, hidden=33)"}, "cannot read budget"),
        ({"budget": "smoke(steps=5000)"}, "needs 5001 items of the valid split, of which 4000"),
        ({"dataset": "digits", "budget": "smoke(batch=300)"}, "needs 300 items of the valid split, of which 270"),
        ({"dataset": "digits", "budget": "smoke(batch=32, test_limit=20)"}, "of the test split, of which 20"),
        ({"dataset": "digits", "budget": "smoke(embedding=8)"}, "an embedding is for symbols"),
        ({"activations": "ternary(stochastic=True)"}, "activations are rounded to the nearest"),
    ],
)
def test_a_run_that_cannot_be_trained_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        RunSpec(**fields)


def test_every_recipe_of_every_dataset_is_a_run():
    for name in datasets.names():
        for budget in datasets.build(name).recipes:
            assert RunSpec(dataset=name, budget=budget).folder == budget
