"""Trained networks as one small file, and the arithmetic of integers that runs it; loading needs no torch.

>>> from lowbit import inference
>>> inference.load.__module__, inference.pack.__module__
('lowbit.inference.model', 'lowbit.inference.deploy')
"""

import importlib

_HOMES = {"load": "model", "Model": "model", "pack": "deploy", "share": "deploy", "write": "deploy"}

__all__ = ["Model", "load", "pack", "share", "write"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"lowbit.inference.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lowbit.inference' has no attribute {name!r}")
