"""Recurrent networks with weights of one, two or a few bits: train them, study them, price them.

>>> import lowbit
>>> lowbit.RunSpec(quantizer="binary").title
'markov · lstm · binary'
"""

import importlib
import sys
import types

__version__ = "0.1.0"

# What `import lowbit` offers at the top; loaded at first use, so that a look at one package does not wait for torch.
_HOMES = {
    "load": "inference",
    "pack": "inference",
    "InputError": "registry",
    "RunSpec": "studies.spec",
    "Record": "studies.store",
    "progress": "training.train",
    "recall": "training.train",
}

__all__ = ["InputError", "Record", "RunSpec", "load", "pack", "progress", "recall"]

try:
    import jaxtyping  # noqa: F401
except ModuleNotFoundError:  # a machine that has torch and little else: shapes are words then, as they are to a reader

    class _Shaped:
        def __class_getitem__(cls, told):
            return told[0]

    def _kind(name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Shaped

    sys.modules["jaxtyping"] = types.ModuleType("jaxtyping")
    sys.modules["jaxtyping"].__getattr__ = _kind


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"lowbit.{_HOMES[name]}"), name)
    try:
        return importlib.import_module(f"lowbit.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"lowbit.{name}":
            raise
        raise AttributeError(f"module 'lowbit' has no attribute {name!r}") from None
