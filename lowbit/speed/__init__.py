"""Records of benchmarks, and the limits of a machine."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__, benchmarks="Benchmark Case near read save", roofline="limits machine")
