"""From a spec to a record: the training loop, evaluation, diagnosis, verification."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__)  # its modules
