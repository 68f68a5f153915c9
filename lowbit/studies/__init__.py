"""Specs of runs, their records, studies as lists of runs, and comparisons between runs."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
