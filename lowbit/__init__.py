"""Recurrent networks with weights of one, two or a few bits: train them, study them, price them.

>>> import lowbit
>>> lowbit.RunSpec(quantizer="binary").title
'markov · lstm · binary'
"""

import importlib
import sys
import types

__version__ = "0.1.0"

# The public interface and its modules, loaded at first use: the import of one package does not wait for torch.
_PUBLIC = {
    "InputError": "registry",
    "RunSpec": "studies.spec",
    "Record": "studies.store",
    "progress": "training.train",
    "recall": "training.train",
    "load": "inference",
    "pack": "inference",
}
__all__ = [*_PUBLIC]

try:
    import jaxtyping  # noqa: F401
except ModuleNotFoundError:  # a machine that has torch and little else: shapes are plain strings there

    class _Shaped:
        def __class_getitem__(cls, item):
            return item[0]

    def _shaped(name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Shaped

    sys.modules["jaxtyping"] = types.ModuleType("jaxtyping")
    sys.modules["jaxtyping"].__getattr__ = _shaped


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"lowbit.{_PUBLIC[name]}"), name)
    try:
        return importlib.import_module(f"lowbit.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"lowbit.{name}":
            raise
        raise AttributeError(f"module 'lowbit' has no attribute {name!r}") from None
