"""Laws of word language models: codes of words, and perplexity."""

import collections
import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowbit import datasets, quantizers
from lowbit.datasets import Recipe, Text, metrics
from lowbit.datasets.base import SPLITS
from lowbit.datasets.download import fetch
from lowbit.datasets.ptb_word import END, PtbWord, encode
from lowbit.layers import cells, networks
from lowbit.layers.recurrent import Design
from lowbit.studies.spec import RunSpec
from lowbit.training import evaluate

WORDS = 300


@dataclasses.dataclass(frozen=True)
class Babble(Text):
    """Words, the first ones being the most frequent."""

    title: ClassVar[str] = "Babble"
    task: ClassVar[str] = "word-lm"
    metric: ClassVar[metrics.Metric] = metrics.PERPLEXITY

    def read(self):
        draw = np.random.default_rng(5)
        parts = {split: (WORDS * draw.random(3001) ** 2).astype(np.uint16) for split in SPLITS}
        parts["train"][0] = WORDS - 1
        return {split: (part,) for split, part in parts.items()}


def network(recipe, words=WORDS):
    design = Design(cells.build("lstm"), quantizers.build("full"))
    return networks.registry["word-lm"](words, words, recipe, design)


words = st.sampled_from(["the", "N", "<unk>", "company", "'s", "u.s."])
lines = st.lists(st.lists(words, min_size=1).map(" ".join), min_size=1).map("\n".join)


@given(lines)
def test_codes_are_indices_of_the_sorted_vocabulary_and_lines_have_an_end(text):
    (codes,) = encode([text + "\n"])
    vocabulary = sorted({*text.split(), END})
    spoken = " ".join(vocabulary[code] for code in codes)
    assert spoken.split(END)[:-1] == [f"{line} " if not i else f" {line} " for i, line in enumerate(text.split("\n"))]


def test_the_vocabulary_comes_from_the_first_text():
    train, other = encode(["a c b\n", "c\n"])
    assert train[1] == other[0]
    with pytest.raises(KeyError, match="d"):
        encode(["a c b\n", "d\n"])


@pytest.mark.parametrize("carry", [True, False])
def test_the_perplexity_of_a_uniform_model_is_the_size_of_the_vocabulary(carry):
    data, uniform = Babble(), network(Recipe(hidden=4, updates=1, embedding=3))
    torch.nn.init.zeros_(uniform.readout.weight)
    torch.nn.init.zeros_(uniform.readout.bias)
    batches = data.alone("test") if carry else data.batches("test", 7, 35)
    (score,) = evaluate.scores(uniform, (data.metric,), batches)
    assert score == pytest.approx(WORDS, rel=1e-4)
    assert data.baselines()["uniform"] == pytest.approx(WORDS)


def test_the_perplexity_is_of_all_words_but_the_first_each_once():
    torch.manual_seed(0)
    data, model = Babble(), network(Recipe(hidden=4, updates=1, embedding=3))
    (codes,) = data.splits["test"]
    with torch.no_grad():
        chances = model(torch.from_numpy(codes[:-1]).long()[:, None])[0][:, 0].softmax(-1).double().numpy()
    surprise = -np.log(chances[np.arange(len(codes) - 1), codes[1:]])
    (score,) = evaluate.scores(model, (metrics.PERPLEXITY,), data.alone("test"))
    assert score == pytest.approx(np.exp(surprise.mean()), rel=1e-5)


def test_the_frequency_baseline_equals_that_of_counts():
    data = Babble()
    (train,), (test,) = data.splits["train"], data.splits["test"]
    counts = collections.Counter(train.tolist())
    inverse = [(len(train) + WORDS) / (counts[word] + 1) for word in test[1:].tolist()]
    assert data.baselines()["frequency"] == pytest.approx(np.exp(np.mean(np.log(inverse))))


def test_the_models_have_the_sizes_of_the_paper():
    kilobytes = {"small": 2880, "medium": 13520, "large": 144000}  # of recurrent layers, as recalled; 1000 bytes
    for size, budget in PtbWord.sizes.items():
        recipe = datasets.build("ptb_word").recipe(budget)
        with torch.device("meta"):
            layers = network(recipe, 10_000).recurrent().values()
        assert sum(4 * matrix.master.numel() for layer in layers for matrix in layer.matrices()) == (
            1000 * kilobytes[size]
        )
        assert RunSpec("ptb_word", budget=budget).folder == "paper"


def test_an_epoch_of_the_paper_recipe_is_one_pass_over_train():
    recipe, counts = PtbWord.recipes["paper"], PtbWord.counts
    assert recipe.evaluate_every == -(-((counts["train"] - 1) // recipe.batch) // recipe.steps)
    assert recipe.updates == 80 * recipe.evaluate_every


@pytest.mark.usefixtures("raw")
def test_the_treebank_has_as_many_sentences_by_words_as_by_characters(real):
    data = real("ptb_word")
    vocabulary = {END, *fetch(data.files[0]).read_text().split()}
    end = sum(word < END for word in vocabulary)
    assert [int((data.splits[split][0] == end).sum()) for split in SPLITS] == [42_068, 3_370, 3_761]
