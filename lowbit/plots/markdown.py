"""Numbers, docstrings and tables in markdown."""

import inspect
import re

import pandas as pd

from lowbit.studies.comparisons import deviation

KEY = re.compile(r"\b[a-z]+(?:19|20)\d\d[a-z]+\b")  # of book/references.bib


def table(rows: pd.DataFrame | list[dict]) -> str:
    """A table; numbers with three decimals, missing ones as a dash; without rows, one that says so.

    >>> print(table([{"name": "a", "score": 1.0}]))
    | name | score |
    | :-- | --: |
    | a | 1.000 |
    """
    frame = pd.DataFrame(rows)
    if frame.empty:
        return "| |\n| :-- |\n| no record yet |"

    def cell(value) -> str:
        if isinstance(value, float):
            return "–" if pd.isna(value) else f"{value:.3f}"
        return str(value).replace("|", "\\|")

    right = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    lines = [list(frame.columns), ["--:" if number else ":--" for number in right]]
    lines += [[cell(value) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def properties(values: dict[str, str]) -> str:
    """A table of names and values without a heading."""
    return table([{"": name, " ": value} for name, value in values.items()])


def spread(mean: float, std: float) -> str:
    """A mean with its standard deviation, where there is one; of small numbers one digit more."""
    places = 4 if abs(mean) < 0.1 else 3
    return f"{mean:.{places}f}\u00a0±\u00a0{std:.{places}f}" if std else f"{mean:.{places}f}"


def over_seeds(scores: pd.Series) -> str:
    """The mean of the scores of runs that differ in their seed, with its standard deviation."""
    return spread(scores.mean(), deviation(scores))


def span(values, form: str) -> str:
    """The least and the largest of some numbers; one number where both read the same.

    >>> span((2.04, 1.5), ".1f"), span((1.01, 1.02), ".1f")
    ('1.5 to 2.0', '1.0')
    """
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def docstring(kind: type) -> str:
    """The docstring of a class with its citations linked."""
    return KEY.sub(lambda key: f"{{cite:t}}`{key[0]}`", inspect.getdoc(kind))
