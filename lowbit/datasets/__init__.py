"""Datasets: download, splits, batches, metrics, and recipes of training for each budget."""

from lowbit.datasets.base import Dataset, Text
from lowbit.datasets.metrics import Batch
from lowbit.datasets.recipe import Recipe
from lowbit.datasets.sequences import Sequences
from lowbit.registry import Registry

registry = Registry("dataset", __name__)
register, names, build, canonical = registry.register, registry.names, registry.build, registry.canonical

__all__ = ["Batch", "Dataset", "Recipe", "Sequences", "Text", "build", "canonical", "names", "register"]


def local() -> list[str]:
    """The datasets that need no download."""
    return [name for name in names() if not registry[name].files and not registry[name].bound]
