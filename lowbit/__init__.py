"""Recurrent networks with weights of one, two or a few bits: train them, study them, price them.

>>> import lowbit
>>> lowbit.RunSpec(quantizer="binary").title
'markov · lstm · binary'
"""

import sys
import types

from lowbit.registry import lazy

__version__ = "0.1.0"

# What `import lowbit` offers. Names and packages are loaded at first use, so this import does not wait for torch.
NAMES = {"registry": "InputError", "studies.spec": "RunSpec", "studies.store": "Record"}
NAMES |= {"training.train": "progress recall", "inference": "load pack"}
NAMES |= {"layers.modules": "GRU LSTM RNN", "layers.convert": "calibrate from_torch"}
PACKAGES = "paths quantizers datasets layers studies training hardware inference onchip speed plots batch"
__all__ = " ".join((*NAMES.values(), PACKAGES)).split()
__getattr__ = lazy(__name__, **NAMES)

try:
    import jaxtyping  # noqa: F401
except ModuleNotFoundError:  # a machine that has torch and little else: `Float[Tensor, "rows cols"]` is `Tensor` there

    class _Unchecked(types.ModuleType):
        def __getattr__(self, name: str):
            if name.startswith("_"):
                raise AttributeError(name)
            return self

        def __getitem__(self, item: tuple):
            return item[0]

    sys.modules["jaxtyping"] = _Unchecked("jaxtyping")
