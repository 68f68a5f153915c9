"""A claim is made only where the records support it."""

import dataclasses

import pandas as pd
import pytest

from lowbit.plots import claims
from lowbit.registry import InputError
from lowbit.studies import store
from lowbit.studies.spec import RunSpec

NAMES = [name for names in claims.CLAIMS.values() for name in names]
OF_RECORDS = ["ternary_costs", "binary_costs_more", "one_bit_needs_a_norm", "parts_of_a_gru", "tests_differ"]


@pytest.fixture(scope="module")
def committed():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LOWBIT_HOME", raising=False)
        yield store.frame(store.scan(*store.EVIDENCE).records)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_records_bear_out_every_claim(name, committed, monkeypatch):
    monkeypatch.delenv("LOWBIT_HOME")
    assert claims.sentence(name, committed)


@pytest.mark.parametrize("name", [*OF_RECORDS, "rounding_beats_sampling", "methods_spread"])
def test_a_claim_without_records_stops_the_build(name):
    with pytest.raises(InputError, match=f"claim '{name}' does not hold"):
        claims.sentence(name, store.frame([]))


@pytest.mark.parametrize("name", OF_RECORDS)
def test_one_seed_bears_out_no_claim(name, committed):
    kinds = ["dataset", "cell", "quantizer", "norm", "quantized", "budget"]
    with pytest.raises(InputError, match="does not hold"):
        claims.sentence(name, committed.sort_values("seed").drop_duplicates(kinds))


def test_a_claim_that_turned_false_names_its_records(committed):
    swapped = committed.assign(quantizer=committed["quantizer"].replace({"ternary": "full", "full": "ternary"}))
    keys = committed[committed["dataset"] == "jsb"]["key"]
    with pytest.raises(InputError, match="claim 'ternary_costs' does not hold") as raised:
        claims.sentence("ternary_costs", swapped)
    assert any(key in str(raised.value) for key in keys)


def test_a_diverged_run_does_not_enter_a_claim(committed):
    spec = RunSpec(dataset="jsb", quantizer="ternary", budget="cpu", seed=77)
    row = committed[committed["dataset"] == "jsb"].iloc[0].to_dict() | dataclasses.asdict(spec)
    more = pd.concat([committed, pd.DataFrame([row | {"deployed": float("nan"), "key": spec.key}])])
    assert claims.sentence("ternary_costs", more) == claims.sentence("ternary_costs", committed)
