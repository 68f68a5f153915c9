"""Shapes are checked while tests run, and nothing is written to the checkout."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("lowbit", "beartype.beartype")

import matplotlib
import pytest
import torch

matplotlib.use("agg")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Results, runs and pages of a test go to a folder of its own."""
    monkeypatch.setenv("LOWBIT_HOME", str(tmp_path))
    return tmp_path
