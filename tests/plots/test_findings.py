import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lowbit.plots import findings
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


def drawn(frame):
    figure = findings.losses(findings.gather(frame))
    found = {name: [] for name in findings.LOSSES}
    for line in figure.axes[0].lines:
        for name, (color, _) in findings.LOSSES.items():
            if line.get_color() == color:
                found[name] += sorted(line.get_xdata())
    plt.close(figure)
    return {name: sorted(several) for name, several in found.items() if several}


def test_a_loss_is_the_share_of_the_way_back_to_the_trivial_rule():
    assert drawn(runs(full_precision=[1.0, 2.0], ternary=[1.0, 2.5], binary=2.0)) == {
        "ternary": [0, 50],
        "binary": [50],
    }


def test_a_perplexity_counts_by_its_logarithm():
    frame = runs("perplexity", full_precision=1.0, ternary=np.sqrt(TRIVIAL))
    assert drawn(frame)["ternary"] == [pytest.approx(50)]


def test_what_is_worse_than_the_trivial_rule_stands_at_the_edge():
    assert drawn(runs(full_precision=1.0, binary=100.0)) == {"binary": [findings.EDGE]}


@pytest.mark.parametrize("score", [np.inf, np.nan])
def test_a_diverged_run_is_not_drawn(score):
    assert drawn(runs(full_precision=1.0, binary=score)) == {}


def test_a_seed_that_full_precision_lacks_is_not_drawn():
    assert drawn(runs(full_precision=1.0, ternary=[1.5, 2.0])) == {"ternary": [25]}


def test_tasks_that_full_precision_did_not_learn_are_marked():
    columns = {"full precision": runs("error_percent", "mnist_seq", full_precision=71.6)}
    assert findings.unlearned(columns)
    assert not findings.unlearned({"full precision": runs("error_percent", "mnist_seq", full_precision=49.9)})
    assert not findings.unlearned({"full precision": runs(full_precision=60.0)})


def test_only_plain_runs_of_tasks_with_full_precision_are_gathered():
    whole, part = runs(full_precision=1.0, ternary=1.5), runs(dataset="jsb", ternary=1.5)
    changed = [
        whole.assign(quantized="input"),
        whole.assign(budget="cpu(rate=1.0)"),
        whole.assign(activations="ternary"),
    ]
    told = findings.gather(pd.concat([whole, part, *changed]))
    assert list(told) == [("warpeace", "cpu", "lstm")]
    assert {name: len(same) for name, same in told["warpeace", "cpu", "lstm"].items()} == {
        "full precision": 1,
        "ternary": 1,
    }


def test_without_records_the_findings_are_empty():
    assert findings.gather(store.frame([])) == {}
    assert drawn(store.frame([])) == {}
