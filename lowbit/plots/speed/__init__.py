"""Figures and tables of benchmark records."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
