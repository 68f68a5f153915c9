"""Ways to write a weight with few bits: one file and one registered class for each."""

import contextlib
import importlib

from lowbit.registry import InputError, Registry

registry = Registry("quantizer", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

_BASE = ("Quantizer", "Site", "StraightThrough")  # loaded at first use: `packing` needs no torch
__all__ = [*_BASE, "build", "canonical", "names", "register", "variants"]


def variants() -> list[str]:
    """Every registered quantizer as a choice, and its other rounding where it has one."""
    choices = []
    for name in names():
        choices.append(name)
        with contextlib.suppress(InputError):
            choices.append(canonical(f"{name}(stochastic=True)"))
    return choices


def __getattr__(name: str):
    if name in _BASE:
        return getattr(importlib.import_module("lowbit.quantizers.base"), name)
    raise AttributeError(f"module 'lowbit.quantizers' has no attribute {name!r}")
