"""Strings of spoken digits, for readers who hold a licence of the corpus."""

import dataclasses
import os
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets, paths
from lowbit.datasets import metrics, speech
from lowbit.datasets.base import SPLITS
from lowbit.datasets.recipe import CPU, SMOKE, Recipe
from lowbit.datasets.varied import Transcribed
from lowbit.registry import InputError

FOLDER = "LOWBIT_TIDIGITS"  # the environment variable with the folder of the corpus
LAYOUT = "{train,test}/{man,woman}/SPEAKER/DIGITS.wav"
RATE_HZ = 20_000


@datasets.register
@dataclasses.dataclass(frozen=True)
class Tidigits(Transcribed):
    """Strings of one to seven digits, zero to nine and oh, by adults (leonard1984database).

    ott2016recurrent trains a GRU on this corpus; more than that it quantizes weights and biases we could not
    establish, so the task (digit strings by connectionist temporal classification, not single digits), the
    features, the sizes and the validation split are ours, and its scores are not comparable.
    ardakani2019learning has no such task. `fsdd` stands in where there is no licence.

    Who holds a licence of LDC93S10 puts its folder `tidigits` into the data folder, or names it in
    `LOWBIT_TIDIGITS`: below it `{train,test}/{man,woman}/SPEAKER/DIGITS.wav`, digits as in `3oz6a.wav`. The
    corpus comes packed with shorten, which must be undone first. Boys and girls are passed over. The counts are
    those of Kaldi's preparation (povey2011kaldi). Of the training utterances by speaker, the last tenth is for
    validation: no speaker is in both parts but for one that the cut may go through.
    """

    title: ClassVar[str] = "TIDIGITS"
    reference: ClassVar[str] = "leonard1984database"
    licence: ClassVar[str] = "LDC user agreement (LDC93S10)"
    bound: ClassVar[bool] = True
    further: ClassVar[tuple[metrics.Metric, ...]] = (
        metrics.SEQUENCE_ERROR,
        metrics.LABEL_ERROR_BEAM,
        metrics.NATS_PER_LABEL,
    )
    alphabet: ClassVar[str] = "z123456789o"
    counts: ClassVar[dict[str, int]] = {"train": 7761, "valid": 862, "test": 8700, "outputs": 12}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, updates=20, evaluate_every=10, batch=8, valid_limit=16, test_limit=16),
        "cpu": dataclasses.replace(CPU, steps=80, clip_norm=1.0, valid_limit=200),
        "paper": Recipe(hidden=200, updates=20_000, batch=32, steps=80, rate=2e-3, final_rate=1e-4, clip_norm=1.0),
    }

    facts = speech.facts

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Features and digits, by speaker and string."""
        folder, cut = Path(os.environ.get(FOLDER, paths.raw() / "tidigits")), self.counts["train"]
        names: list[str] = []
        for part, expected in (("train", cut + self.counts["valid"]), ("test", self.counts["test"])):
            recordings = utterances(folder, part)
            if len(recordings) != expected:
                raise InputError(
                    f"{self.title}: {folder / part} holds {len(recordings)} recordings of men and women, must be "
                    f"{expected}; {FOLDER} names the folder with {LAYOUT} of LDC93S10, which needs a licence "
                    "(https://catalog.ldc.upenn.edu/LDC93S10)"
                )
            names += recordings
        waves = {str(folder / name): (folder / name).read_bytes for name in names}
        frames = [speech.standardized(part) for part in speech.cepstra("tidigits", waves, RATE_HZ)]
        texts, ends = [Path(name).stem[:-1] for name in names], [0, cut, cut + self.counts["valid"], len(names)]
        parts = zip(SPLITS, map(slice, ends, ends[1:]), strict=False)
        return {split: self.arrays(names[part], frames[part], texts[part]) for split, part in parts}


def utterances(folder: Path, part: str) -> list[str]:
    """The adults' recordings of a part, below `folder`, by speaker and string."""
    waves = [path for adult in ("man", "woman") for path in (folder / part / adult).glob("*/*.wav")]
    digits = [path for path in waves if re.fullmatch(r"[1-9zo]+[ab]", path.stem)]
    return [str(path.relative_to(folder)) for path in sorted(digits, key=lambda path: (path.parent.name, path.name))]
