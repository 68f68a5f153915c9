"""Figures and tables of engines; those of a page are narrow enough for a phone."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
