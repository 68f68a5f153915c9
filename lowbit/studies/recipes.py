"""Recipes of training that the studies `search` and `long` compare: equal care for every method."""

from lowbit.registry import parse, written

METHODS = (  # whose recipes are searched for: A's, what it compares with, and those of hou2019normalization
    *((name, "batch_step") for name in ("full", "ternary", "binary", "ternary(stochastic=True)")),
    *(("binary(stochastic=True)", "batch_step"), ("binaryconnect", "none")),
    *(("full", "layer"), ("binaryconnect", "layer"), ("twn", "layer")),
)


def changed(budget: str, **fields) -> str:
    """A budget with some fields of its recipe changed."""
    name, options = parse(budget)
    return written(name, options | fields)


def recipe(rate: float, clip_masters: bool = False, init: str = "uniform") -> dict:
    """What the study `search` varies; a rate falls to a fortieth."""
    return {"rate": rate, "final_rate": round(rate / 40, 7), "clip_masters": clip_masters, "init": init}


# The best recipes of the study `search` at two rates. The first, which goes on to other widths and seeds, is the better
# one by validation at `long`, or in the search until both are trained there.
CANDIDATES = {
    ("full", "batch_step"): (recipe(6e-2), recipe(2e-2, True, "levels")),
    ("ternary", "batch_step"): (recipe(2e-2, True), recipe(6e-2, True)),
    ("binary", "batch_step"): (recipe(6e-2), recipe(2e-2, True, "levels")),
}
