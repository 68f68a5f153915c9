"""Products of a matrix of whole numbers with a vector of them: one file a kernel, each equal to the reference."""

from lowbit.inference.matvec.base import Member, Product
from lowbit.registry import Registry

registry = Registry("kernel", __name__)
register, names, build = registry.register, registry.names, registry.build

__all__ = ["Member", "Product", "build", "names", "register", "registry"]
