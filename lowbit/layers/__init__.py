"""Cells, norms and the recurrent layer; networks of layers; kernels that run the loop over time."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__, networks="Network", recurrent="Design Recurrent")
