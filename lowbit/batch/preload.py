"""The imports of the fork server: every registered class, and those of a first optimizer and compiled loop.

It also computes the digests of the sources that are in memory from then on: a source that changes while a batch runs
is neither executed nor recorded.
"""

import contextlib
import sys

import torch

from lowbit import datasets, quantizers
from lowbit.layers import kernels, networks
from lowbit.plots import diagnostics  # noqa: F401
from lowbit.plots.results import comparison, run  # noqa: F401
from lowbit.studies import provenance
from lowbit.training import train  # noqa: F401

for registry in (datasets, kernels, networks, quantizers):
    registry.names()  # imports the package's modules
torch.optim.Adam([torch.zeros(1, requires_grad=True)])
with contextlib.suppress(ImportError):
    import lowbit.layers.loops.function  # noqa: F401

for name in [name for name in sys.modules if name.startswith("lowbit.")]:
    provenance.bare(name)
