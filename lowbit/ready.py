"""Imported by warm Python before it forks: every leaf, what a first optimizer and a first compiled loop import, and
the digests of the code that is in memory from then on.

A source that changes while a batch runs is then neither executed nor told in a record.
"""

import contextlib
import sys

import torch

from lowbit import datasets, diagrams, figures, kernels, models, provenance, quantizers, report, train

ROOMS = (diagrams, figures, report, train)
LEAVES = [leaf for room in (datasets, kernels, models, quantizers) for leaf in room.names()]

torch.optim.Adam([torch.zeros(1, requires_grad=True)])
with contextlib.suppress(ImportError):
    import lowbit.kernels.whole.function  # noqa: F401

for name in [name for name in sys.modules if name.startswith("lowbit.")]:
    provenance.bare(name)
