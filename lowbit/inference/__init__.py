"""Packed models: trained networks as one small file, which integer arithmetic runs without torch."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__, model="Model load", deploy="pack write")
