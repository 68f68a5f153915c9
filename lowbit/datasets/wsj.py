"""Read news, transcribed letter by letter, for readers who hold a licence of the corpus."""

import dataclasses
import os
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from lowbit import datasets, paths
from lowbit.datasets import speech
from lowbit.datasets.recipe import SMOKE, Recipe
from lowbit.datasets.varied import CPU_LETTERS, PAPER_LETTERS, Lettered
from lowbit.registry import InputError

FOLDER = "LOWBIT_WSJ"  # the environment variable with the folder of the lists
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
    that holds them in `LOWBIT_WSJ`. Each has two lists by utterance: `text`, the transcript, and `wav.scp`, a
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
        "cpu": dataclasses.replace(CPU_LETTERS, steps=100, valid_limit=100),
        "paper": dataclasses.replace(
            PAPER_LETTERS, updates=60_000, layers=4, batch=32, steps=200, rate=1e-3, evaluate_every=1000
        ),
    }

    facts = speech.facts

    def read(self) -> dict[str, tuple[np.ndarray, ...]]:
        """Features and letters, in the order of the lists of texts."""
        folder = Path(os.environ.get(FOLDER, paths.raw() / "wsj"))
        return {split: self._part(folder / name, self.counts[split]) for split, name in PARTS.items()}

    def _part(self, folder: Path, expected: int) -> tuple[np.ndarray, ...]:
        texts, files = (self._list(folder / name) for name in ("text", "wav.scp"))
        if len(texts) != expected:
            raise InputError(f"{self.title}: {folder / 'text'} has {len(texts)} utterances, must be {expected}")
        if more := files.keys() - texts.keys():
            raise InputError(f"{self.title}: {folder / 'wav.scp'} has {min(more)}, which {folder / 'text'} has not")
        waves = {name: self._wave(folder, name, files.get(name, "")) for name in texts}
        letters = [self._letters(f"{name} of {folder / 'text'}", text) for name, text in texts.items()]
        recordings = {f"{wave} ({name})": wave.read_bytes for name, wave in waves.items()}
        frames = speech.cepstra(f"wsj-{folder.name}", recordings, RATE_HZ)
        return self.arrays(list(texts), [speech.stacked(speech.standardized(part), STACK) for part in frames], letters)

    def _list(self, path: Path) -> dict[str, str]:
        """The entries of a list by utterance."""
        if not path.is_file():
            raise InputError(
                f"{self.title}: no {path}; {FOLDER} names the folder with {', '.join(PARTS.values())} of LDC93S6A and "
                "LDC94S13A, which need a licence (https://catalog.ldc.upenn.edu/LDC93S6A)"
            )
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.title}: cannot read {path}: {error.args[-1]}") from None
        entries: dict[str, str] = {}
        for name, *rest in (line.split(maxsplit=1) for line in lines if line.strip()):
            if name in entries or not rest:
                fault = "twice" if name in entries else "and nothing else"
                raise InputError(f"{self.title}: {path} has {name} {fault}")
            entries[name] = rest[0].strip()
        return entries

    def _wave(self, folder: Path, name: str, file: str) -> Path:
        """The path of a recording, which is absolute or inside the folder of all parts."""
        if file.endswith("|"):
            raise InputError(f"{self.title}: {folder / 'wav.scp'} has a command for {name}, must be a file")
        inside = Path(os.path.abspath(folder / file)).is_relative_to(os.path.abspath(folder.parent))
        if not inside and not os.path.isabs(file):
            raise InputError(f"{self.title}: {file} for {name} of {folder / 'wav.scp'} leads out of {folder.parent}")
        if not file or not (folder / file).is_file():
            raise InputError(f"{self.title}: no recording {file or 'listed'} for {name} of {folder / 'wav.scp'}")
        return folder / file

    def _letters(self, name: str, text: str) -> str:
        """A transcript in symbols of the alphabet alone, without noise."""
        words = re.sub(r"<[^>]*>", " ", text.upper()).split()
        spelled = ["".join(symbol for symbol in word if symbol in self.alphabet) for word in words]
        if words and not any(spelled):
            raise InputError(f"{self.title}: nothing of {name} is of {self.alphabet!r}")
        return " ".join(filter(None, spelled))
