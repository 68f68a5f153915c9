"""Every dataset is read, trained on and evaluated once with its own network, in a few steps."""

import itertools
import math

import pytest

from lowbit import datasets
from lowbit.datasets import books
from lowbit.datasets.books_cloze import BooksCloze
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import train

FEW = "updates=2, evaluate_every=2, calibration=1, valid_limit={0}, test_limit={0}"


@pytest.fixture(autouse=True)
def fewer_questions(monkeypatch):
    """Questions of twenty novels: those of all novels take most of a minute."""

    def compute(self):
        with monkeypatch.context() as patch:
            texts = books.texts()
            patch.setattr(books, "texts", lambda: dict(itertools.islice(texts.items(), 20)))
            return compute_all(self)

    compute_all = BooksCloze._compute
    monkeypatch.setattr(BooksCloze, "_compute", compute)
    monkeypatch.setattr(BooksCloze, "counts", {})


@pytest.mark.parametrize("name", datasets.names())
def test_every_dataset_trains_and_is_evaluated(name):
    text = datasets.registry[name].task.endswith("lm")
    budget = f"smoke({FEW.format(400 if text else 32)})"
    plain, normed = (RunSpec(dataset=name, norm=norm, budget=budget) for norm in ("none", "batch_step"))
    try:
        plain.data.splits  # noqa: B018
    except InputError as error:
        pytest.skip(f"no data: {error}")
    vars(normed)["data"] = plain.data  # read once
    for record in (train.train(plain), train.train(normed)):
        for score in (record.metrics["deployed"], record.metrics["as_published"], *record.data["baselines"].values()):
            assert math.isfinite(score)
            assert score >= 0
        assert record.data["baselines"]
