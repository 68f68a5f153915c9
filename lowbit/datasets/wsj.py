"""Read news, for readers who hold a licence of the corpus: what was said, letter by letter."""

import dataclasses
import os
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets, paths
from lowbit.datasets import speech
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.datasets.varied import LETTERS, Lettered
from lowbit.registry import InputError

FOLDER = "LOWBIT_WSJ"  # the variable that names where the lists lie
PARTS = {"train": "train_si284", "valid": "test_dev93", "test": "test_eval92"}
RATE_HZ = 16_000
STACK = 3  # frames that are one step


@datasets.register
@dataclasses.dataclass(frozen=True)
class Wsj(Lettered):
    """Read sentences of the Wall Street Journal (paul1992design) as letters, space, apostrophe and period.

    ott2016recurrent trains on this corpus; its network, features and scores we could not establish, so sizes
    and features are ours and its scores are not comparable. ardakani2019learning has no such task. `an4` stands
    in where there is no licence.

    Who holds a licence of LDC93S6A and LDC94S13A prepares them as Kaldi's recipe does (povey2011kaldi) and puts
    the folders `train_si284`, `test_dev93` and `test_eval92` into `wsj` in the data folder, or names the folder
    that holds them in `LOWBIT_WSJ`. Each has two lists by utterance: `text`, what was said, and `wav.scp`, a
    path of a `.wav` or uncompressed SPHERE file, from the root or, not beyond the folder that holds the parts, from
    the part's folder. Kaldi's own lists name commands in the place of files: run those once, and list what they
    give. Both lists have the same names, once each. Of the text, words in angle brackets are noise and left out, and
    symbols other than those above are dropped.
    """

    title: ClassVar[str] = "Wall Street Journal"
    reference: ClassVar[str] = "paul1992design"
    licence: ClassVar[str] = "LDC user agreement (LDC93S6A, LDC94S13A)"
    bound: ClassVar[bool] = True
    alphabet: ClassVar[str] = " ABCDEFGHIJKLMNOPQRSTUVWXYZ'."
    counts: ClassVar[dict[str, int]] = {"train": 37_416, "valid": 503, "test": 333, "outputs": 30}
    recipes: ClassVar[dict[str, Recipe]] = {
        "smoke": dataclasses.replace(SMOKE, updates=10, evaluate_every=5, batch=4, valid_limit=4, test_limit=4),
        "cpu": dataclasses.replace(LETTERS, steps=100, valid_limit=100),
        "paper": Recipe(
            hidden=320,
            updates=60_000,
            layers=4,
            bidirectional=True,
            batch=32,
            steps=200,
            rate=1e-3,
            final_rate=1e-4,
            clip_norm=1.0,
            evaluate_every=1000,
        ),
    }

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Features and letters, in the order of the lists of texts."""
        folder = Path(os.environ.get(FOLDER, paths.raw() / "wsj"))
        return {split: self._part(folder / name, self.counts[split]) for split, name in PARTS.items()}

    def facts(self) -> dict[str, str | float]:
        """The version of the library that made the features."""
        return speech.versions()

    def _part(self, folder: Path, expected: int) -> tuple[np.ndarray, ...]:
        texts, files = (self._list(folder / name) for name in ("text", "wav.scp"))
        if len(texts) != expected:
            raise InputError(f"{self.title}: {folder / 'text'} has {len(texts)} utterances, must be {expected}")
        if more := files.keys() - texts.keys():
            raise InputError(f"{self.title}: {folder / 'wav.scp'} has {min(more)}, which {folder / 'text'} has not")
        waves = {name: self._wave(folder, name, files) for name in texts}
        spoken = [self._spoken(f"{name} of {folder / 'text'}", text) for name, text in texts.items()]
        recordings = {f"{wave} ({name})": wave.read_bytes for name, wave in waves.items()}
        found = speech.cepstra(f"wsj-{folder.name}", recordings, RATE_HZ, speech.fingerprint(recordings))
        frames = [speech.stacked(speech.standardized(part), STACK) for part in found]
        return self.arrays(list(texts), frames, spoken)

    def _list(self, path: Path) -> dict[str, str]:
        if not path.is_file():
            raise InputError(
                f"{self.title}: no {path}; {FOLDER} names the folder with {', '.join(PARTS.values())} of LDC93S6A and "
                "LDC94S13A, which need a licence (https://catalog.ldc.upenn.edu/LDC93S6A)"
            )
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.title}: cannot read {path}: {error.args[-1]}") from None
        found: dict[str, str] = {}
        for name, *rest in (line.split(maxsplit=1) for line in lines if line.strip()):
            if name in found or not rest:
                raise InputError(f"{self.title}: {path} has {name} {'twice' if name in found else 'and nothing else'}")
            found[name] = rest[0].strip()
        return found

    def _wave(self, folder: Path, name: str, files: dict[str, str]) -> Path:
        told = files.get(name, "")
        if told.endswith("|"):
            raise InputError(f"{self.title}: {folder / 'wav.scp'} has a command for {name}, must be a file")
        inside = Path(os.path.abspath(folder / told)).is_relative_to(os.path.abspath(folder.parent))
        if not inside and not os.path.isabs(told):
            raise InputError(f"{self.title}: {told} for {name} of {folder / 'wav.scp'} leads out of {folder.parent}")
        if not told or not (folder / told).is_file():
            raise InputError(f"{self.title}: no recording {told or 'listed'} for {name} of {folder / 'wav.scp'}")
        return folder / told

    def _spoken(self, name: str, text: str) -> str:
        words = re.sub(r"<[^>]*>", " ", text.upper()).split()
        kept = ["".join(symbol for symbol in word if symbol in self.alphabet) for word in words]
        if words and not any(kept):
            raise InputError(f"{self.title}: nothing of {name} is of {self.alphabet!r}")
        return " ".join(word for word in kept if word)
