"""A finding that the book states: its sentence with numbers, and the condition under which it may stand."""

import dataclasses
from collections.abc import Callable

import pandas as pd

from lowbit.registry import InputError


@dataclasses.dataclass(frozen=True)
class Claim:
    """A finding: its sentence, whether the records bear it out, and which records these are."""

    text: str
    holds: bool
    records: tuple[str, ...]


Evidence = Callable[[pd.DataFrame], Claim]  # from the committed records, a row each
CLAIMS: dict[str, dict[str, Evidence]] = {}  # by chapter, in the order of its sentences


def claim(*chapters: str) -> Callable[[Evidence], Evidence]:
    """Enters a claim under the name of its function."""

    def enter(evidence: Evidence) -> Evidence:
        for chapter in chapters:
            CLAIMS.setdefault(chapter, {})[evidence.__name__] = evidence
        return evidence

    return enter


def texts(frame: pd.DataFrame) -> dict[str, str]:
    """The claims of each chapter as a list; raises `InputError` for one that its records do not bear out.

    Without any committed record, as in a new `LOWBIT_HOME`, nothing is claimed.
    """
    if frame.empty:
        return dict.fromkeys(CLAIMS, "no record yet")
    return {chapter: "\n".join(f"- {sentence(name, frame)}" for name in names) for chapter, names in CLAIMS.items()}


def sentence(name: str, frame: pd.DataFrame) -> str:
    """The sentence of a claim; raises `InputError` where the records do not bear it out."""
    evidence = next(names[name] for names in CLAIMS.values() if name in names)
    finding = evidence(frame)
    if not finding.holds:
        records = ", ".join(finding.records) or "none on file"
        raise InputError(
            f"claim {name!r} does not hold; change its sentence in the book or make more records: {records}"
        )
    return finding.text


def enumeration(names: list[str]) -> str:
    """Names as a sentence has them.

    >>> enumeration(["a", "b", "c"]), enumeration(["a"]), enumeration([])
    ('a, b and c', 'a', 'none')
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:]))) or "none"
