"""Differences compare runs that are equal except for one choice; misleading records do not enter."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.plots.results import comparison, reported
from lowbit.studies import comparisons
from lowbit.studies.spec import RunSpec

FULL, TERNARY = ({"quantizer": name} for name in ("full", "ternary"))


def run(score, **fields):
    """Returns a row of a frame of records; all but the spec and the score is made up."""
    hidden = fields.pop("hidden", 192)
    spec = RunSpec(**{"dataset": "warpeace", "budget": "cpu"} | fields)
    scores = {"deployed": score, "as_published": score + 0.1, "sampled": score, "sampled_std": 0.0}
    sizes = {"bits": 2, "hidden": hidden, "weight_bytes": 9.0, "updates": 1, "seconds": 1.0, "trivial": 4.0}
    sizes |= {"points": 9, "diverged": False, "clipped": False, "valid": score}
    return dataclasses.asdict(spec) | scores | sizes | {"metric": "bpc", "key": spec.key, "label": spec.quantizer}


def change(*runs):
    return comparisons.differences(pd.DataFrame(runs), TERNARY, FULL)


def test_a_difference_is_taken_seed_by_seed():
    base = [run(score, seed=seed, **FULL) for seed, score in enumerate((1.0, 2.0, 6.0))]
    (difference,) = change(*base, *(run(score, seed=seed, **TERNARY) for seed, score in enumerate((1.1, 2.2, 6.3))))
    assert (difference.seeds, difference.mean) == (3, pytest.approx(0.2))
    assert difference.percent == pytest.approx(100 * 0.2 / 3)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert difference.interval == pytest.approx((0.2 - half, 0.2 + half))
    assert difference.verdict == "no difference found"
    assert "3 seeds" in str(difference)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6), st.floats(-5, 5))
def test_an_interval_moves_with_the_values_and_holds_their_mean(values, shift):
    low, high = comparisons.interval(values)
    assert low <= np.mean(values) + 1e-9
    assert high >= np.mean(values) - 1e-9
    moved = comparisons.interval([value + shift for value in values])
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-9)


def test_one_seed_is_no_finding():
    (difference,) = change(run(1.0, **FULL), run(9.0, **TERNARY))
    assert (difference.seeds, difference.interval, difference.worse, difference.better) == (1, None, False, False)
    assert "one seed, no finding" in str(difference)


@pytest.mark.parametrize(
    "other",
    [
        {"budget": "cpu(hidden=512)", "hidden": 512},
        {"norm": "none"},
        {"cell": "gru"},
        {"seed": 5},
        {"dataset": "ptb_char"},
        {"activations": "ternary"},
        {"budget": "cpu(rate=0.5)"},
        {"budget": "brief"},
    ],
    ids=str,
)
def test_runs_that_differ_in_anything_else_are_not_compared(other):
    assert change(run(1.0, **FULL), run(0.5, **TERNARY, **other)) == []
    (difference,) = change(run(1.0, **FULL), run(0.5, **TERNARY, **other), run(1.2, **TERNARY))
    assert difference.mean == pytest.approx(0.2)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_diverged_run_is_not_compared(score):
    base = [run(1.0, seed=seed, **FULL) for seed in (0, 1, 2)]
    low = [run(1.1, seed=0, **TERNARY), run(1.2, seed=1, **TERNARY), run(score, seed=2, **TERNARY)]
    (difference,) = change(*base, *low)
    assert difference.seeds == 2
    text = comparison.verdict(pd.DataFrame([*base, *low])).data
    assert "1 diverged" in text
    assert "nan" not in text


def test_full_precision_of_an_older_recipe_is_not_compared():
    older = {"clipped": True, "points": 0}
    assert change(run(1.0, **FULL) | older, run(1.5, **TERNARY) | older) == []
    (difference,) = change(run(1.0, **FULL) | older | {"points": 9}, run(1.5, **TERNARY) | older)
    assert difference.mean == 0.5
    (difference,) = change(run(1.0, **FULL, norm="none") | older, run(1.5, **TERNARY, norm="none") | older)
    assert difference.mean == 0.5


def test_full_precision_uses_the_recipe_that_validates_best_where_both_have_the_seed():
    free = {"budget": "cpu(clip_masters=False)"}
    base = [run(1.0, **FULL), run(1.0, **FULL, seed=1), run(0.9, **FULL, **free) | {"valid": 0.8}]
    (difference,) = change(*base, run(1.5, **TERNARY), run(1.5, **TERNARY, seed=1))
    assert (difference.seeds, difference.mean) == (1, pytest.approx(0.6))
    worse = [*base[:2], run(0.9, **FULL, **free) | {"valid": 1.2}]
    (difference,) = change(*worse, run(1.5, **TERNARY), run(1.5, **TERNARY, seed=1))
    assert difference.mean == pytest.approx(0.5)


def test_methods_whose_recipes_were_searched_are_compared_each_at_the_best_of_its_own():
    base = {"dataset": "ptb_char"}
    full = [
        run(1.2, **base, **FULL, budget="long(rate=0.002)"),
        run(1.1, **base, **FULL, budget="long") | {"valid": 2.0},
    ]
    (difference,) = change(*full, run(1.5, **base, **TERNARY, budget="long(clip_masters=True, init='levels')"))
    assert difference.mean == pytest.approx(0.3)
    assert difference.alike["budget"] == "long"
    assert change(*full, run(1.5, **base, **TERNARY, budget="long(batch=32)")) == []


def test_full_precision_matches_whatever_is_quantized():
    (difference,) = change(run(1.0, **FULL), run(1.5, **TERNARY, quantized="recurrent"))
    assert difference.mean == 0.5
    assert difference.alike["quantized"] == "recurrent"


def test_evaluations_are_compared_within_networks_of_the_same_items():
    rows = [run(1.0, seed=seed, **TERNARY) | {"as_published": 1.2 + 0.01 * seed} for seed in (0, 1)]
    (difference,) = comparisons.evaluations(pd.DataFrame(rows), "as_published", "deployed")
    assert (difference.seeds, difference.mean) == (2, pytest.approx(0.205))
    other = pd.DataFrame([row | {"points": 0} for row in rows])
    assert comparisons.evaluations(other, "as_published", "deployed") == []


def test_a_verdict_ignores_other_sizes_other_norms_and_single_seeds():
    traps = [
        run(0.5, **TERNARY, budget="cpu(hidden=512)", hidden=512),
        run(0.4, **TERNARY, norm="layer"),
        run(0.3, **TERNARY, cell="gru"),
        run(0.2, quantizer="binary"),
    ]
    pairs = [run(score, seed=seed, **FULL) for seed, score in enumerate((1.0, 1.01))]
    pairs += [run(score, seed=seed, **TERNARY) for seed, score in enumerate((1.2, 1.215))]
    text = comparison.verdict(pd.DataFrame([*traps, *pairs])).data
    assert "**worse**: `ternary`, LSTM of 192 units, norm `batch_step`: +0.203 bits per character" in text
    assert "2 seeds" in text
    assert "Of 2 comparisons with full precision 1 rest on one seed" in text
    assert not any(score in text for score in ("0.500", "0.400", "0.300"))


def test_reported_values_are_compared_with_default_runs_of_the_nearest_size():
    choice = {"dataset": "warpeace", "quantizer": "ternary(stochastic=True)"}
    runs = [
        run(1.9, **choice, budget="cpu(hidden=256)", hidden=256),
        run(1.8, **choice, budget="cpu(hidden=256)", hidden=256, seed=1),
        run(1.5, **choice),
        run(1.1, **choice, budget="cpu(rate=0.5)"),
        run(1.2, **choice, norm="layer"),
        run(1.3, **choice, quantized="recurrent"),
        run(math.nan, **choice, seed=7),
    ]
    text = reported.beside(RunSpec(dataset="warpeace", budget="cpu"), pd.DataFrame(runs)).data
    (line,) = [line for line in text.splitlines() if "ternary (ours)" in line]
    assert "| 1.850\u00a0±\u00a00.071 | 256 | 2 |" in line
