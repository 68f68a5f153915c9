"""Datasets: download, splits, batches, metrics, and recipes of training for each budget."""

from lowbit.registry import Registry, lazy

registry = Registry("dataset", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical
__getattr__ = lazy(__name__, base="Dataset Text", metrics="Batch", recipe="Recipe", sequences="Sequences")


def local() -> list[str]:
    """The datasets that need no download."""
    return [name for name in names() if not registry[name].files and not registry[name].bound]
