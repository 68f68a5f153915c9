"""The pages of the book: the plan of a batch, its execution and its state."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
