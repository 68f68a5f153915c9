"""Figures and tables of the records of runs."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
