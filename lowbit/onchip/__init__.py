"""Packed networks on accelerators, and their records in `results/hardware`."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__, pair="Pair", record="recall")
