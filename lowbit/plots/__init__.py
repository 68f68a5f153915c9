"""The figures and tables of the book."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
