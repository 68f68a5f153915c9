"""Packed models: trained networks as one small file, which integer arithmetic runs without torch.

>>> import lowbit
>>> lowbit.inference.load.__module__, lowbit.inference.pack.__module__
('lowbit.inference.model', 'lowbit.inference.deploy')
"""

from lowbit.registry import lazy

__getattr__ = lazy(__name__, model="Model load", deploy="pack write")
