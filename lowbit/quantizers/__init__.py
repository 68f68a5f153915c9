"""Ways to write a weight with few bits: one file and one registered class for each."""

import contextlib

from lowbit.quantizers.base import Quantizer, Site, StraightThrough
from lowbit.registry import InputError, Registry

registry = Registry("quantizer", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

__all__ = ["Quantizer", "Site", "StraightThrough", "build", "canonical", "names", "register", "variants"]


def variants() -> list[str]:
    """Every registered quantizer as a choice, and its other rounding where it has one."""
    choices = []
    for name in names():
        choices.append(name)
        with contextlib.suppress(InputError):
            choices.append(canonical(f"{name}(stochastic=True)"))
    return choices
