"""Quantizers, which represent weights with few bits: one file and one registered class for each."""

import contextlib

from lowbit.registry import InputError, Registry, lazy

registry = Registry("quantizer", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

# Loaded at first use: `packing` needs no torch.
__getattr__ = lazy(__name__, base="Quantizer Site StraightThrough glorot")


def variants() -> list[str]:
    """Every registered quantizer as a choice, and its other rounding where it has one."""
    choices = []
    for name in names():
        choices.append(name)
        with contextlib.suppress(InputError):
            choices.append(canonical(f"{name}(stochastic=True)"))
    return choices
