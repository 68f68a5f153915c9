import pytest
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def closed():
    """Closes the figures of a test."""
    yield
    plt.close("all")
