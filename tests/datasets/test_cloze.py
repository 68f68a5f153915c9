"""Laws of cloze questions: of the attentive reader, of all cloze datasets, and of the two registered ones."""

import dataclasses
import math
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from lowbit import datasets, paths, quantizers
from lowbit.datasets import Recipe, books, books_cloze, cloze, cnn_qa
from lowbit.datasets.base import SPLITS
from lowbit.datasets.cloze import GAP, Cloze, Passage
from lowbit.layers import cells, networks
from lowbit.layers.networks.attentive import ATTENTION
from lowbit.layers.recurrent import Design
from lowbit.registry import InputError
from lowbit.studies.spec import RunSpec
from lowbit.training import weights
from lowbit.training.train import train

ENTITIES, WORDS, HIDDEN, EMBEDDING = 4, 9, 3, 5


def network(quantizer="full", norm="none", **changes):
    torch.manual_seed(0)
    recipe = Recipe(updates=1, **{"hidden": HIDDEN, "embedding": EMBEDDING, "steps": 6} | changes)
    design = Design(cells.build("lstm"), quantizers.build(quantizer), norm)
    return networks.registry["cloze"](WORDS, ENTITIES, recipe, design)


def passage(lengths=(6, 2, 4), question_lengths=(3, 5, 1)):
    generator = torch.Generator().manual_seed(1)
    document = torch.randint(WORDS, (max(lengths), len(lengths)), generator=generator)
    question = torch.randint(WORDS, (max(question_lengths), len(lengths)), generator=generator)
    candidates = torch.tensor([[True, False, True, True], [True, True, False, False], [False, True, True, True]])
    return Passage(
        document, torch.tensor(lengths), question, torch.tensor(question_lengths), candidates[: len(lengths)]
    )


# Of the attentive reader.


class Formula(nn.Module):
    """The attentive reader on torch's own LSTM and packed sequences, with the parameters of ours."""

    def __init__(self, ours):
        super().__init__()
        self.ours = ours
        self.document = nn.LSTM(EMBEDDING, HIDDEN, bidirectional=True)
        self.question = nn.LSTM(EMBEDDING, HIDDEN, bidirectional=True)
        self.copied = {}
        for theirs, pair in ((self.document, ours.layers[0]), (self.question, ours.question.layers[0])):
            for layer, suffix in ((pair.forwards, "l0"), (pair.backwards, "l0_reverse")):
                for mine, name in (("weight_x", "weight_ih"), ("weight_h", "weight_hh")):
                    self._copy(layer, mine, theirs, f"{name}_{suffix}")
                for mine, name in (("bias_x", "bias_ih"), ("bias_h", "bias_hh")):
                    self._copy(layer, mine, theirs, f"{name}_{suffix}")

    def _copy(self, layer, mine, theirs, name):
        with torch.no_grad():
            getattr(theirs, name).copy_(getattr(layer, mine))
        self.copied[getattr(layer, mine)] = getattr(theirs, name)

    def forward(self, x):
        def pack(words, lengths):
            embedded = self.ours.embedding(words)
            return nn.utils.rnn.pack_padded_sequence(embedded, lengths, enforce_sorted=False)

        outputs, _ = self.document(pack(x.document, x.lengths))
        _, (h, _) = self.question(pack(x.question, x.question_lengths))
        y, _ = nn.utils.rnn.pad_packed_sequence(outputs)
        of_u = self.ours.question.readout
        logits = []
        for b, length in enumerate(x.lengths.tolist()):
            u = torch.cat((h[0, b], h[1, b]))
            m = [torch.tanh(self.ours.attend(y_t) + (of_u(u))[:ATTENTION]) for y_t in y[:length, b]]
            s = torch.softmax(torch.cat([self.ours.weigh(m_t) for m_t in m]), 0)
            r = sum(s_t * y_t for s_t, y_t in zip(s, y[:length, b], strict=True))
            logits.append(self.ours.readout(torch.tanh(self.ours.join(r) + of_u(u)[ATTENTION:])))
        return torch.stack(logits)


def test_the_attentive_reader_equals_its_formula_on_torchs_lstm_in_value_and_gradient():
    ours, x = network(), passage()
    theirs, probe = Formula(ours), torch.randn(3, ENTITIES)
    logits, states = ours(x)
    expected = theirs(x)
    torch.testing.assert_close(logits, expected)
    assert states == []
    (logits * probe).sum().backward()
    gradients = {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}
    ours.zero_grad()
    (expected * probe).sum().backward()
    assert len(gradients) == sum(p.requires_grad for p in ours.parameters())
    for name, p in ours.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(gradients[name], theirs.copied.get(p, p).grad, msg=name)


def test_a_trained_reader_answers_only_with_entities_of_the_document():
    ours, x = network().eval(), passage()
    logits, _ = ours(x)
    assert x.candidates.gather(1, logits.argmax(1)[:, None]).all()
    torch.testing.assert_close(logits[x.candidates], Formula(ours)(x)[x.candidates])


@pytest.mark.parametrize("norm", ["none", "weight", "batch", "batch_step"])
def test_padding_and_other_examples_of_the_batch_change_no_answer(norm):
    ours, x = network("ternary", norm), passage()
    for collecting in (True, False):
        for layer in ours.norms():
            layer.collect(collecting)
        if collecting:
            ours(passage((6, 6, 6), (6, 6, 6)))
    ours.eval()
    together, _ = ours(x)
    for b, (length, words) in enumerate(zip(x.lengths.tolist(), x.question_lengths.tolist(), strict=True)):
        one = slice(b, b + 1)
        document, question = x.document[:length, one], x.question[:words, one]
        alone = Passage(document, x.lengths[one], question, x.question_lengths[one], x.candidates[one])
        torch.testing.assert_close(ours(alone)[0][0], together[b])


def test_permuting_the_entities_and_their_parameters_permutes_the_answers():
    ours, x = network(), passage()
    before, _ = ours(x)
    names = torch.tensor([2, 0, 3, 1])
    renamed = torch.cat((names, torch.arange(ENTITIES, WORDS)))
    with torch.no_grad():
        ours.embedding.weight[renamed] = ours.embedding.weight.clone()
        for p in (ours.readout.weight, ours.readout.bias):
            p[names] = p.clone()
    after, _ = ours(x._replace(document=renamed[x.document], question=renamed[x.question]))
    torch.testing.assert_close(after[:, names], before)


@pytest.mark.parametrize("norm", ["none", "batch_step"])
def test_attention_depends_on_the_question_before_any_training(norm):
    ours, x, scores = network(norm=norm, hidden=32, embedding=32), passage(), []
    ours.weigh.register_forward_hook(lambda module, inputs, outputs: scores.append(outputs[:, :, 0]))
    ours(passage((6, 6, 6)))
    ours(passage((6, 6, 6))._replace(question=x.question.flip(1)))
    one, other = (score - score.mean(0) for score in scores)
    assert (one - other).std() > 0.1 * one.std()


def test_quantized_weights_are_sampled_once_for_all_four_directions():
    ours, x = network("ternary(stochastic=True)").eval(), passage()
    sample = ours.round()
    assert torch.equal(ours(x, None, sample)[0], ours(x, None, sample)[0])
    assert not torch.equal(ours(x)[0], ours(x)[0])
    directions = [layer for part in (sample.document, sample.question) for pair in part.layers for layer in pair]
    assert len(directions) == len(ours.recurrent()) == 4
    assert all(len(matrix.unique()) <= 3 for layer in directions for matrix in (layer.x, layer.h))


def test_the_four_lstms_of_the_paper_have_its_sizes():
    recipe = datasets.build("cnn_qa").recipe("paper")
    paper = networks.registry["cloze"](600, 550, recipe, Design(cells.build("lstm"), quantizers.build("full")))
    kilobytes = weights.sizes(paper)["recurrent_weights"] / 8 / 1000
    for bits, reported in ((32, 7471.1), (2, 466.9), (1, 233.5)):
        assert bits * kilobytes == pytest.approx(reported, abs=0.1)


# Of all such datasets.

TEXTS = {
    "train": [
        ("@entity7 saw @entity2 and @entity7", "then @placeholder left @entity2", "@entity7"),
        ("near @entity5 @entity1 saw @entity4", "@entity9 and @placeholder left", "@entity4"),
        ("@entity3 and @entity8 saw it", "then @placeholder left", "@entity3"),
    ]
    * 5,
    "valid": [("@entity1 or @entity2", "@placeholder wept", "@entity2")] * 4,
    "test": [
        ("@entity1 @entity1 @entity1 @entity2 @entity2 @entity3", "@entity1 left @placeholder", "@entity2"),
        ("@entity1 @entity2", "@entity2 left @entity1 with @placeholder", "@entity2"),
    ],
}


@dataclasses.dataclass(frozen=True)
class Written(Cloze):
    """Examples given by the test."""

    title: ClassVar[str] = "Written"
    entities: ClassVar[int] = 5

    def read(self):
        examples = {split: [example(*texts) for texts in rows] for split, rows in TEXTS.items()}
        return cloze.encode(examples, self.entities)


def spelled(dataset, batch):
    """Returns examples as strings, entities in order of appearance; padding must be the unknown word."""
    x, rows = batch.x, []
    for b in range(len(batch.y)):
        names: dict[int, str] = {}
        texts = []
        for words, lengths in ((x.document, x.lengths), (x.question, x.question_lengths)):
            codes = words[:, b].tolist()
            assert set(codes[lengths[b] :]) <= {dataset.entities + 1}
            inside = codes[: lengths[b]]
            texts.append(tuple(names.setdefault(c, f"#{len(names)}") if c < dataset.entities else c for c in inside))
        assert set(x.candidates[b].nonzero()[:, 0].tolist()) == set(x.document[:, b].tolist()) & set(range(5))
        rows.append((*texts, names[int(batch.y[b])]))
    return sorted(map(str, rows))


def example(document, question, answer):
    return document.split(), question.split(), answer


def everything(dataset, split, generator=None, batch=3):
    parts = list(dataset.batches(split, batch, 8, generator))
    return sorted(text for part in parts for text in spelled(dataset, part)), parts


def test_every_example_occurs_once_with_any_symbols_and_batch():
    dataset = Written()
    plain, _ = everything(dataset, "train")
    shuffled, _ = everything(dataset, "train", torch.Generator().manual_seed(1))
    streamed = sorted(text for part in dataset.streams("train", 4, 8) for text in spelled(dataset, part))
    alone = sorted(text for part in dataset.alone("train") for text in spelled(dataset, part))
    assert plain == shuffled == streamed == alone
    assert len(plain) == 15
    assert len(set(plain)) == 3


def test_symbols_are_sampled_in_every_pass_over_train_and_once_in_other_splits():
    dataset = Written()
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.cat([part.y for part in everything(dataset, "train", generator)[1]]) for _ in range(2))
    assert not torch.equal(first, second)
    answers = [{int(y) for part in dataset.batches("valid", size, 8) for y in part.y} for size in (1, 4)]
    assert answers[0] == answers[1]
    again = [next(dataset.batches("valid", 4, 8, torch.Generator().manual_seed(seed))) for seed in (1, 2)]
    one, other = (sorted(zip(*part.x.document.tolist(), strict=True)) for part in again)
    assert one == other


def test_shuffled_texts_reach_every_step_of_norm_statistics():
    batch = next(Written().batches("train", 3, 9, torch.Generator()))
    assert len(batch.x.document) == len(batch.x.question) == 9
    batch = next(Written().batches("train", 3, 30, torch.Generator()))
    assert (len(batch.x.document), len(batch.x.question)) == (30, cloze.QUESTION_STEPS)


def test_the_baselines_are_the_expected_errors_of_their_rules():
    errors = {"random": (2 / 3 + 1 / 2) / 2, "most frequent": (1 + 1 / 2) / 2, "exclusive frequency": (0 + 1 / 2) / 2}
    assert Written().baselines() == pytest.approx({rule: 100 * share for rule, share in errors.items()})


def test_the_vocabulary_is_the_most_frequent_words_of_train():
    examples = {
        "train": [example("a a b @entity1 c c c", f"b a {GAP}", "@entity1")],
        "valid": [example("a d @entity4", GAP, "@entity4")],
        "test": [example("b @entity4 @entity1", f"@entity1 c {GAP}", "@entity4")],
    }
    arrays = cloze.encode(examples, entities=2, most=2)
    gap, unknown, a, c = 2, 3, 4, 5
    assert arrays["train"][1].tolist() == [a, a, unknown, 0, c, c, c]
    assert arrays["train"][3].tolist() == [unknown, a, gap]
    assert arrays["valid"][1].tolist() == [a, unknown, 0]
    assert (arrays["test"][1].tolist(), arrays["test"][3].tolist()) == ([unknown, 0, 1], [1, c, gap])
    assert len(np.unique(cloze.encode(examples, entities=2)["train"][1])) == 4


def test_more_entities_than_symbols_are_refused():
    examples = [example("@entity1 @entity2 @entity3", GAP, "@entity1")]
    with pytest.raises(InputError, match="an example has 3 entities, there are symbols for 2"):
        cloze.encode(dict.fromkeys(SPLITS, examples), entities=2)


def test_arrays_are_computed_once_and_again_where_they_are_damaged_or_their_sources_differ():
    calls = []

    def compute():
        calls.append(1)
        return Written().splits

    def same(one, other):
        return all(np.array_equal(a, b) for split in SPLITS for a, b in zip(one[split], other[split], strict=True))

    first, second = (cloze.cached("written", [b"one"], compute) for _ in range(2))
    assert len(calls) == 1
    assert same(first, second)
    (file,) = (paths.raw() / "cloze").iterdir()
    file.write_bytes(file.read_bytes()[:-30])
    assert same(cloze.cached("written", [b"one"], compute), first)
    assert len(calls) == 2
    cloze.cached("written", [b"two"], compute)
    assert len(calls) == 3


# Of novels.


def novel(seed, people, sentences=250):
    """Returns random sentences about people, with titles, full names and words that are no names."""
    draw = random.Random(seed)
    lines = ["# Title: Nothing\n\n-------\n\n### CHAPTER I\n"]
    for _ in range(sentences):
        one, two = draw.sample(people, 2)
        middle = draw.choice(["saw", "met and greeted", "wrote a letter, on a Monday, to", "left the English house of"])
        lines.append(f"{draw.choice(['Then', 'Later', 'At last'])} Mr. {one} {middle} {two} Brown{draw.choice('.!?')}")
    return "\n".join(lines)


@pytest.fixture
def library(monkeypatch):
    """Twenty novels, each about different people."""
    people = [[f"{name}{chr(97 + book)}o" for name in ("Ann", "Bet", "Cor", "Dor", "Eve")] for book in range(20)]
    novels = {f"Nobody/{book}.md": novel(book, names) for book, names in enumerate(people)}
    monkeypatch.setattr(books, "texts", lambda: novels)
    return novels


def test_names_are_capitalized_within_sentences_and_rarely_in_lower_case():
    text = (
        "Only here. Then Emma laughed, and Will came. Will you go? I will go. We will not. Then Mr Knightley and "
        "Emma's aunt met the Vicar on Monday. Both saw Emma."
    )
    names = books_cloze.names(" ".join([text] * 10))
    assert names == {"Emma": 30, "Knightley": 10}


def test_consecutive_names_are_one_entity():
    counts = {"Jane": 5, "Fairfax": 3, "Emma": 9}
    words = books_cloze.anonymous("Miss Jane Fairfax's aunt, Emma said.", counts)
    assert " ".join(words) == "miss @entityJane 's aunt , @entityEmma said ."


def test_a_passage_has_whole_sentences_each_in_one_passage_at_most():
    draw = random.Random(3)
    words = ["so", *(f"{cloze.ENTITY}{name}" for name in "abcdefgh")]
    sentences = [[draw.choice(words[: draw.randint(2, 9)]) for _ in range(draw.randint(3, 70))] for _ in range(400)]
    passages = list(books_cloze.passages(sentences))
    assert len(passages) > 50
    rest = iter(sentences)
    assert all(sentence in rest for passage in passages for sentence in passage)
    for words in ([word for sentence in passage for word in sentence] for passage in passages):
        assert books_cloze.LEAST <= len(words) <= books_cloze.LONGEST
        assert books_cloze.LEAST_ENTITIES <= len(set(words) - {"so"}) <= books_cloze.MOST_ENTITIES


def test_every_question_quotes_its_passage_without_its_answer(library):
    examples = [example for book in library.values() for example in books_cloze.examples(book)]
    assert len(examples) > 100
    for document, question, answer in examples:
        assert GAP in question
        assert answer not in question
        quoted = [answer if word == GAP else word for word in question]
        assert any(document[i : i + len(quoted)] == quoted for i in range(len(document)))
        assert books_cloze.SHORTEST <= len(question) <= 2 * books_cloze.BESIDE + 1


def test_no_book_is_in_two_splits(library, monkeypatch):
    names = {}

    def encode(examples, entities, most):
        for split, part in examples.items():
            names[split] = {word for document, _, _ in part for word in document if word.startswith(cloze.ENTITY)}
        return {}

    monkeypatch.setattr(cloze, "encode", encode)
    monkeypatch.setattr(cloze, "cached", lambda name, sources, compute: compute())
    datasets.build("books_cloze").read()
    people = {split: {name for name in part if name.endswith("o")} for split, part in names.items()}
    assert not people["train"] & people["valid"] | people["train"] & people["test"] | people["valid"] & people["test"]
    assert len(people["train"]) == 8 * len(people["valid"]) == 8 * len(people["test"]) == 80


def test_a_run_on_questions_has_all_three_evaluations(library, monkeypatch):
    monkeypatch.setattr(books_cloze.BooksCloze, "counts", {})
    budget = "smoke(updates=2, evaluate_every=2, calibration=1, batch=4, hidden=4, valid_limit=4, test_limit=4)"
    record = train(RunSpec(dataset="books_cloze", quantizer="ternary(stochastic=True)", budget=budget))
    scores = [record.metrics["as_published"], record.metrics["deployed"], *record.metrics["sampled"]["values"]]
    assert all(0 <= score <= 100 for score in scores)
    assert math.isfinite(record.curve[-1]["train_nats"])
    assert set(record.data["baselines"]) == {"random", "most frequent", "exclusive frequency"}


def test_the_archive_of_books_is_built_from_the_repository(tmp_path, monkeypatch, archive):
    monkeypatch.setattr(books, "order", lambda: ["B/two.md", "A/one.md"])
    tars = []
    for names in (["A/one.md", "B/two.md", "README.md"], ["B/two.md", "C/three.md", "A/one.md"]):
        contents = {f"classic-books-markdown-{books.COMMIT}/{name}": f"text of {name}\r\n".encode() for name in names}
        (tmp_path / "books.zip").write_bytes(archive("zip", contents))
        tars.append(books.assemble(tmp_path / "books.zip"))
    assert tars[0] == tars[1]
    (tmp_path / "books.tar").write_bytes(tars[0])
    monkeypatch.setattr(books, "fetch", lambda file: tmp_path / "books.tar")
    assert books.texts() == {name: f"text of {name}\r\n" for name in ("B/two.md", "A/one.md")}
    assert list(books.texts()) == books.order()


# Of the news.

QUESTION = """http://web.archive.org/web/2011/http://www.cnn.com/a.html

( @entity1 ) @entity0 wo n't say where @entity2 is , @entity0 said .

@placeholder knows where @entity2 is

@entity0

@entity0:Some One
@entity1:CNN
@entity2:A Place
"""


@pytest.fixture
def news(tmp_path, monkeypatch, archive):
    """Replaces the questions of CNN; at first there is one per split."""

    def put(questions):
        contents = {**questions, "cnn/questions/training/.DS_Store": "no question"}
        content = archive("gz", {name: text.encode() for name, text in contents.items()})
        (tmp_path / "cnn.tgz").write_bytes(content)
        return tmp_path / "cnn.tgz"

    put({f"cnn/questions/{folder}/{i}.question": QUESTION for i, folder in enumerate(cnn_qa.FOLDERS.values())})
    monkeypatch.setattr(cnn_qa, "fetch", lambda file: tmp_path / "cnn.tgz")
    return put


def test_the_published_format_is_read(news):
    read = datasets.build("cnn_qa").read()
    entities = cnn_qa.CnnQa.entities
    for split in SPLITS:
        answers, document, ends, question, question_ends = read[split]
        assert answers.tolist() == [1]  # the second entity that is named
        assert document[document < entities].tolist() == [0, 1, 2, 1]
        assert (ends.tolist(), question_ends.tolist()) == ([14], [5])
        assert question.tolist()[0] == entities
        assert question.tolist()[3] == 2
        assert set(question[[1, 2, 4]]) & set(document) == {document[7], document[9]}


def test_a_set_of_another_size_is_refused(news):
    with pytest.raises(InputError, match="CNN questions: train counts 1, must be 380298"):
        _ = datasets.build("cnn_qa").splits


@pytest.mark.parametrize("text", ["", "one line", QUESTION.replace(GAP, "nobody"), QUESTION.replace("\n\n", "\n")])
def test_a_file_that_is_no_question_is_refused_by_name(news, text):
    news({"cnn/questions/training/odd.question": text})
    with pytest.raises(InputError, match=r"cnn/questions/training/odd\.question is no question"):
        datasets.build("cnn_qa").read()


def test_a_damaged_archive_is_refused(news):
    file = news({"cnn/questions/training/one.question": QUESTION})
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match=r"cnn\.tgz cannot be read"):
        datasets.build("cnn_qa").read()


def test_without_the_archive_the_error_says_where_to_put_it(monkeypatch):
    monkeypatch.delenv("LOWBIT_MIRROR", raising=False)
    (file,) = cnn_qa.CnnQa.files
    monkeypatch.setattr(cnn_qa.CnnQa, "files", (dataclasses.replace(file, urls=()),))
    with pytest.raises(InputError, match=r"download cnn\.tgz, the questions, .* from https://.*DMQA/ and put it at .*"):
        datasets.build("cnn_qa").read()
