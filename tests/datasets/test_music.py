"""Laws of piano rolls: predictions, scores and baselines."""

import dataclasses
import itertools
import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from lowbit import datasets
from lowbit.datasets import metrics, music
from lowbit.datasets.base import SPLITS
from lowbit.datasets.metrics import Batch
from lowbit.datasets.music import PARTS, Music
from lowbit.registry import InputError

pytestmark = pytest.mark.usefixtures("raw")
unhurried = settings(deadline=None, max_examples=30)
LENGTHS = [5, 2, 17, 9, 4, 11]


def pieces(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    chances = rng.uniform(0.05, 0.6, 88)
    return [(rng.random((length, 88)) < chances).astype(np.uint8) for length in LENGTHS]


@dataclasses.dataclass(frozen=True)
class Played(Music):
    """Random pieces of known lengths."""

    title: ClassVar[str] = "Played"

    def read(self):
        return {split: (np.array(LENGTHS), np.concatenate(pieces(i))) for i, split in enumerate(SPLITS)}


def pairs(batches) -> list[tuple[bytes, bytes]]:
    """Returns every frame that a network reads, with the frame that it has to predict."""
    pairs = []
    for batch in batches:
        assert batch.fresh
        assert batch.x.shape == batch.y.shape
        for i, length in enumerate(batch.lengths.tolist()):
            assert not batch.x[length:, i].any()
            assert (batch.y[length:, i] == metrics.IGNORED).all()
            assert torch.equal(batch.x[1:length, i], batch.y[: length - 1, i])
            x, y = (part[:length, i].numpy().astype(np.uint8) for part in (batch.x, batch.y))
            pairs += [(now.tobytes(), then.tobytes()) for now, then in zip(x, y, strict=True)]
    return pairs


@unhurried
@given(batch=st.integers(1, 4), steps=st.integers(1, 20), limit=st.integers(0, 8))
def test_every_frame_but_the_first_is_predicted_once_from_the_one_before(batch, steps, limit):
    used = pieces(0)[: limit or None]
    expected = [(now.tobytes(), then.tobytes()) for piece in used for now, then in itertools.pairwise(piece)]
    data = Played()
    assert pairs(data.batches("train", batch, steps, limit=limit)) == expected
    assert pairs(data.streams("train", batch, steps, limit)) == expected
    assert pairs(data.alone("train", limit)) == expected


@pytest.mark.parametrize("steps", [3, 100])
def test_training_cuts_pieces_and_deployment_keeps_them_whole(steps):
    parts = list(Played().batches("train", 2, steps, torch.Generator().manual_seed(0)))
    assert max(len(part.x) for part in parts) == min(steps, max(LENGTHS) - 1)
    assert len(next(Played().alone("test")).x) == max(LENGTHS) - 1
    assert sorted(pairs(parts)) != pairs(parts)
    assert set(pairs(parts)) <= set(pairs(Played().batches("train", 1, steps)))


@unhurried
@given(seed=st.integers(0, 99))
def test_nats_are_the_negative_log_likelihood_of_the_keys_of_every_frame(seed):
    torch.manual_seed(seed)
    outputs, y = torch.randn(4, 3, 88), torch.randint(0, 2, (4, 3, 88)).float()
    y[2:, 1] = y[1:, 2] = metrics.IGNORED
    batch = Batch(torch.zeros(1), y)
    nats = 0.0
    for logits, keys in zip(outputs.flatten(0, 1), y.flatten(0, 1), strict=True):
        if keys[0] >= 0:
            chances = torch.where(keys == 1, logits.sigmoid(), 1 - logits.sigmoid())
            nats -= float(chances.log().sum())
    assert metrics.NATS_PER_FRAME.total(outputs, batch).item() == pytest.approx(nats, rel=1e-4)
    assert metrics.NATS_PER_FRAME.points(batch) == 4 + 2 + 1


def test_the_loss_of_a_uniform_network_is_one_bit_per_key():
    (batch,) = Played().alone("test")
    total, points = metrics.key_nats(torch.zeros_like(batch.y), batch), metrics.frames(batch)
    assert metrics.NATS_PER_FRAME(total.item(), points) == pytest.approx(88 * math.log(2))


def test_padding_has_no_gradient():
    (batch,) = Played().alone("test")
    outputs = torch.randn_like(batch.y).requires_grad_()
    metrics.key_nats(outputs, batch).backward()
    steps = torch.arange(len(batch.y))[:, None]
    assert torch.equal(outputs.grad.abs().sum(2) > 0, steps < batch.lengths)


def test_baselines_are_the_scores_of_networks_that_predict_the_shares():
    data = Played()
    now, then = data._pairs("train", 0)
    share = (then.sum(0) + 0.5) / (len(then) + 1)
    after = [(then[now[:, k] == s, k].sum() + 0.5) / ((now[:, k] == s).sum() + 1) for s in (0, 1) for k in range(88)]
    after = np.reshape(after, (2, 88))
    (batch,) = data.alone("test")
    shares = {
        "key frequency": torch.tensor(share).expand(*batch.x.shape),
        "key after itself": torch.where(batch.x == 1, torch.tensor(after[1]), torch.tensor(after[0])),
    }
    for name, chances in shares.items():
        total = metrics.key_nats(chances.logit(), Batch(batch.x, batch.y.double()))
        score = metrics.NATS_PER_FRAME(total.item(), metrics.frames(batch))
        assert data.baselines()[name] == pytest.approx(score)


@pytest.fixture
def rolls(tmp_path, monkeypatch):
    """Replaces a file of rolls by pieces of three splits."""

    def put(parts):
        contents = {
            name: np.array([None, *part], object)[None, 1:] for name, part in zip(PARTS.values(), parts, strict=True)
        }
        savemat(tmp_path / "rolls.mat", contents)
        monkeypatch.setattr(music, "fetch", lambda file: tmp_path / "rolls.mat")

    return put


def test_rolls_are_read_from_the_three_parts_of_a_file(rolls):
    rolls([pieces(0), pieces(1), pieces(2)])
    splits = datasets.build("jsb").read()
    for split, (lengths, frames) in Played().splits.items():
        assert splits[split][0].tolist() == lengths.tolist()
        np.testing.assert_array_equal(splits[split][1], frames)


@pytest.mark.parametrize(
    ("name", "frames"), [("jsb", (13_807, 4_602, 4_725)), ("nottingham", (176_561, 45_513, 44_463))]
)
def test_real_pieces_have_the_published_numbers_of_frames(name, frames, real):
    data = real(name)
    assert tuple(len(data.splits[split][1]) for split in SPLITS) == frames
    assert set(np.unique(data.splits["train"][1])) == {0, 1}
    scores = data.baselines()
    assert scores["key after itself"] < scores["key frequency"] < 88 * math.log(2)


def apart(splits, split):
    lengths, frames = splits[split]
    return [piece.tobytes() for piece in np.split(frames, lengths.cumsum()[:-1])]


def test_disjoint_splits_are_the_published_ones_without_the_pieces_of_train(rolls):
    parts = [pieces(0), [*pieces(1)[:3], pieces(0)[4]], [pieces(0)[1], *pieces(2)]]
    rolls(parts)
    published, disjoint = (datasets.build(f"nottingham(split={split!r})").read() for split in ("published", "disjoint"))
    assert [apart(published, split) for split in SPLITS] == [[piece.tobytes() for piece in part] for part in parts]
    assert apart(disjoint, "train") == apart(published, "train")
    assert apart(disjoint, "valid") == apart(published, "valid")[:3]
    assert apart(disjoint, "test") == apart(published, "test")[1:]


def test_the_tunes_have_two_splits_only():
    with pytest.raises(InputError, match="no split 'random'; known: published, disjoint"):
        datasets.build("nottingham(split='random')")


@pytest.mark.parametrize("name", ["jsb", "nottingham(split='disjoint')"])
def test_no_real_piece_of_train_is_in_another_split(name, real):
    splits = real(name).splits
    for split in ("valid", "test"):
        assert not {*apart(splits, split)} & {*apart(splits, "train")}


def test_the_published_tunes_repeat_one_of_train_in_each_other_split(real):
    splits = real("nottingham").splits
    for split, at, length in [("valid", 3, 192), ("test", 99, 257)]:
        train = {*apart(splits, "train")}
        assert [i for i, piece in enumerate(apart(splits, split)) if piece in train] == [at]
        assert splits[split][0][at] == length
