"""Laws of width are fitted to runs that are alike but for their width, and agree with scipy and closed forms."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lowbit.studies import width
from lowbit.studies.spec import RunSpec

RATE = ", final_rate=0.0015, rate=0.06"


def run(quantizer, hidden, score, seed=0, options="", weights=None):
    """A row of a frame of records at `long`."""
    weights = weights or 4 * hidden * (hidden + 50)
    spec = RunSpec("ptb_char", quantizer=quantizer, budget=f"long(hidden={hidden}{options})", seed=seed)
    row = {"deployed": score, "valid": score, "hidden": hidden, "diverged": False, "points": 9, "key": spec.key}
    row |= {"weights": weights, "weight_bytes": weights * {"full": 4, "ternary": 0.2, "binary": 0.125}[quantizer]}
    return dataclasses.asdict(spec) | row | {"clipped": False, "bits": 2}


def law_runs(slope=-0.5, seeds=2):
    for hidden in (64, 128, 256):
        for seed in range(seeds):
            base = 2 - 0.1 * math.log2(hidden) + 0.01 * seed
            yield run("full", hidden, base, seed)
            yield run("ternary", hidden, base + hidden**slope, seed)


def test_a_power_law_is_found_with_its_exponent():
    changes = width.costs(pd.DataFrame(law_runs()), "ternary")
    assert [(change.alike["hidden"], change.seeds) for change in changes] == [(64, 2), (128, 2), (256, 2)]
    line = width.law(changes)
    assert line.slope == pytest.approx(-0.5)
    assert 2 ** line.predict(math.log2(1000))[0] == pytest.approx(1000**-0.5)


def test_a_line_and_its_interval_are_those_of_scipy():
    x = np.array([0.0, 1.0, 2.0, 3.0, 5.0])
    y = np.array([1.0, 2.5, 2.7, 4.4, 6.0])
    line, oracle = width.fit(x, y), stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * oracle.stderr
    assert (line.slope, line.intercept) == pytest.approx((oracle.slope, oracle.intercept))
    assert line.slope_interval == pytest.approx((oracle.slope - half, oracle.slope + half))
    middle, low, high = line.predict(7.0)
    assert low < middle < high
    assert width.fit([1, 1, 2, 2], [1, 2, 3, 4]) is None


def test_an_interval_of_a_prediction_holds_a_new_point_19_times_in_20():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        x, noise = np.array([6.0, 6.0, 7.0, 7.0, 8.0, 8.0]), rng.normal(size=7)
        _, low, high = width.fit(x, 3 - 0.5 * x + noise[:6]).predict(10.0)
        inside += low <= 3 - 5.0 + noise[6] <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)


def test_a_loss_that_is_a_gain_somewhere_follows_no_power_law():
    runs = [run("full", hidden, 2.0) for hidden in (64, 128, 256)]
    runs += [run("ternary", hidden, 2.0 + loss) for hidden, loss in ((64, 0.2), (128, 0.1), (256, -0.01))]
    assert width.law(width.costs(pd.DataFrame(runs), "ternary")) is None


def test_of_two_recipes_the_one_that_validates_best_counts():
    runs = [run("full", 256, 1.5), run("full", 256, 1.4, options=RATE), run("ternary", 256, 1.7, options=RATE)]
    (change,) = width.costs(pd.DataFrame(runs), "ternary")
    assert change.base == (1.4,)


def test_a_law_of_width_needs_one_recipe():
    runs = pd.DataFrame(law_runs())
    changes = width.costs(runs, "ternary")
    assert width.same_recipe(runs, changes)
    other = run("ternary", 256, 1.0, options=RATE)
    runs = pd.concat([runs[(runs["quantizer"] == "full") | (runs["hidden"] != 256)], pd.DataFrame([other])])
    assert not width.same_recipe(runs, width.costs(runs, "ternary"))
    assert not width.same_recipe(runs, [])


def test_a_weight_is_worth_the_share_of_weights_that_would_do():
    runs = [
        run("full", 64, 2.0, weights=1000),
        run("full", 128, 1.8, weights=4000),
        run("ternary", 256, 1.9, weights=8000),
    ]
    assert width.worth(pd.DataFrame(runs), "ternary") == {256: pytest.approx(0.25)}
    poorer = [*runs[:2], run("ternary", 256, 2.1)]
    assert width.worth(pd.DataFrame(poorer), "ternary") == {}
    assert width.worth(pd.DataFrame(runs), "binary") == {}


def test_nothing_on_the_front_is_beaten_and_all_else_is():
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"kilobytes": rng.integers(1, 9, 40), "bits": rng.integers(1, 9, 40)})
    front = width.front(points)
    for _, point in points.iterrows():
        better = (front["kilobytes"] <= point["kilobytes"]) & (front["bits"] <= point["bits"])
        assert better.any()
    assert (front["bits"].diff().dropna() < 0).all()
    assert (front["kilobytes"].diff().dropna() > 0).all()


def test_rounding_adds_its_loss_to_the_score_and_takes_its_bits():
    rows = pd.DataFrame([run("full", 64, 2.0, weights=8000), run("ternary", 64, 2.2)])
    sizes = width.sizes(rows, {rows["key"][0]: {32: 2.1, 4: 2.3}}).set_index("method")
    assert sizes.loc["full", "kilobytes"] == 32
    assert sizes.loc[width.ROUNDED, "kilobytes"] == 4
    assert sizes.loc[width.ROUNDED, "bits"] == pytest.approx(2.2)
    assert set(width.sizes(rows, {})["method"]) == {"full", "ternary"}


def test_without_runs_there_is_nothing():
    empty = pd.DataFrame(law_runs()).iloc[:0]
    assert width.costs(empty, "ternary") == []
    assert width.sizes(empty, {}).empty
