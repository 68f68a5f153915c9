"""Shapes are checked while tests run, and nothing is written to the checkout."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# A check of shapes takes a call several times as long as one of types: it is for modules that name shapes.
ROOT = Path(__file__).parent
SHAPED = [file for file in ROOT.glob("lowbit/**/*.py") if file.stem != "__init__" and "jaxtyping" in file.read_text()]
install_import_hook([".".join(file.relative_to(ROOT).with_suffix("").parts) for file in SHAPED], "beartype.beartype")

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


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A folder to which real files are fetched once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "raw"
        patch.setenv("LOWBIT_DATA", str(folder))
        yield folder
