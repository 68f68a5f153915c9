"""An accelerator for recurrent layers with few-bit weights: golden model, cycle model, RTL, area and energy."""

from lowbit.registry import lazy

__getattr__ = lazy(__name__, cycles="Workload", program="Program")
