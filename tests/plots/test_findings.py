import dataclasses

import numpy as np
import pandas as pd
import pytest

from lowbit.plots.results import findings
from lowbit.studies import store
from lowbit.studies.spec import RunSpec

SPECS = {
    name: RunSpec(dataset="warpeace", quantizer=quantizer, norm=norm, budget="cpu")
    for name, (quantizer, norm) in findings.COLUMNS.items()
}
TRIVIAL = 3.0


def runs(metric="bpc", dataset="warpeace", **scores):
    rows = [
        dataclasses.asdict(dataclasses.replace(SPECS[name.replace("_", " ")], dataset=dataset, seed=seed))
        | {"deployed": score, "trivial": TRIVIAL, "metric": metric, "diverged": False, "clipped": False, "points": 9}
        for name, several in scores.items()
        for seed, score in enumerate(np.atleast_1d(several))
    ]
    return pd.DataFrame(rows)


def losses(frame):
    """The plotted losses by the color of their column."""
    lines = findings.losses(findings.gather(frame)).axes[0].lines
    points = {
        name: sorted(x for line in lines if line.get_color() == color for x in line.get_xdata())
        for name, (color, _) in findings.LOSSES.items()
    }
    return {name: values for name, values in points.items() if values}


def test_a_loss_is_a_share_of_the_gain_over_the_baseline():
    frame = runs(full_precision=[1.0, 2.0], ternary=[1.0, 2.5], binary=2.0)
    assert losses(frame) == {"ternary": [0, 50], "binary": [50]}


def test_a_perplexity_counts_by_its_logarithm():
    frame = runs("perplexity", full_precision=1.0, ternary=np.sqrt(TRIVIAL))
    assert losses(frame)["ternary"] == [pytest.approx(50)]


def test_a_score_worse_than_the_baseline_is_drawn_at_the_edge():
    assert losses(runs(full_precision=1.0, binary=100.0)) == {"binary": [findings.EDGE]}


@pytest.mark.parametrize("score", [np.inf, np.nan])
def test_a_diverged_run_is_not_shown(score):
    assert losses(runs(full_precision=1.0, binary=score)) == {}


def test_a_seed_that_full_precision_lacks_is_not_shown():
    assert losses(runs(full_precision=1.0, ternary=[1.5, 2.0])) == {"ternary": [25]}


def test_tasks_that_full_precision_did_not_learn_are_marked():
    columns = {"full precision": runs("error_percent", "mnist_seq", full_precision=71.6)}
    assert findings.unlearned(columns)
    assert not findings.unlearned({"full precision": runs("error_percent", "mnist_seq", full_precision=49.9)})
    assert not findings.unlearned({"full precision": runs(full_precision=60.0)})


def test_only_default_runs_of_tasks_with_full_precision_are_selected():
    whole, part = runs(full_precision=1.0, ternary=1.5), runs(dataset="jsb", ternary=1.5)
    changes = ({"quantized": "input"}, {"budget": "cpu(rate=1.0)"}, {"activations": "ternary"})
    tasks = findings.gather(pd.concat([whole, part, *(whole.assign(**change) for change in changes)]))
    ((task, columns),) = tasks.items()
    assert task == ("warpeace", "cpu", "lstm")
    assert {name: len(same) for name, same in columns.items()} == {"full precision": 1, "ternary": 1}


def test_without_records_the_findings_are_empty():
    assert findings.gather(store.frame([])) == {}
    assert losses(store.frame([])) == {}
