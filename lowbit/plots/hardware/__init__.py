"""The charts of the pages on hardware, narrow enough for a phone; each takes a pair of a network and a machine."""

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

WIDTH = 5.4  # inches
LANES = "#2f6db3"
UNIT = "#edae49"
WEIGHTS = "#66a182"
WAIT = "#d1495b"
INK, PALE, FAINT = "#2b2d42", "#b8bcc8", "#eef0f5"


def plain(axis: Axis, subs: tuple[float, ...] = (1.0, 2.0, 5.0)) -> None:
    """Plain numbers at these multiples of every power of ten of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())
