"""Networks by task: one file each, and `base` for most tasks."""

from lowbit.layers.networks.base import Network, NetworkWeights, detach
from lowbit.registry import Registry

registry = Registry("task", __name__)
names = registry.names

for task in ("char-lm", "word-lm", "ctc", "copy", "music"):
    registry.register_as(task)(Network)

__all__ = ["Network", "NetworkWeights", "detach", "names", "registry"]
