"""The criterion of divergence: no table ranks a run that has diverged."""

import math

from lowbit.studies import schema

ABSURD = 10  # times the score of the worst baseline: a network that learned nothing is not as bad


def diverged(metrics: schema.Metrics, curve: list[schema.Point], data: schema.Data) -> bool:
    """Whether a score as published or deployed is not finite, or `ABSURD` times that of the worst baseline.

    So has a run of which every update since the last but one validation was skipped. False for anything of another
    shape, which the schema refuses.
    """
    try:
        before, last = [{"update": 0}, *curve][-2:] if curve else ({"update": 0}, {"update": 1})
        stuck = last.get("skipped", 0) - before.get("skipped", 0) >= last["update"] - before["update"]
        most = ABSURD * max(data.get("baselines", {}).values(), default=math.inf)
        return stuck or not all(metrics[name] < most for name in ("as_published", "deployed"))
    except (ArithmeticError, AttributeError, LookupError, TypeError):
        return False
