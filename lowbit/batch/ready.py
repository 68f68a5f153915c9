"""Imported by warm Python before it forks: every leaf, what a first optimizer and a first compiled loop import, and
the digests of the code that is in memory from then on.

A source that changes while a batch runs is then neither executed nor told in a record.
"""

import contextlib
import sys

import torch

from lowbit import datasets, quantizers
from lowbit.layers import kernels, networks
from lowbit.plots import diagnostics
from lowbit.plots.results import comparison, run
from lowbit.studies import provenance
from lowbit.training import train

ROOMS = (diagnostics, comparison, run, train)
LEAVES = [leaf for room in (datasets, kernels, networks, quantizers) for leaf in room.names()]

torch.optim.Adam([torch.zeros(1, requires_grad=True)])
with contextlib.suppress(ImportError):
    import lowbit.layers.kernels.whole.function  # noqa: F401

for name in [name for name in sys.modules if name.startswith("lowbit.")]:
    provenance.bare(name)
