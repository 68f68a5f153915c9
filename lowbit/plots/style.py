"""The one style of all figures: colors, widths, axes, legends, and a figure as text."""

import io
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

INK, GRAY, PALE, FAINT = "#2b2d42", "#7a7a7a", "#b8bcc8", "#eef0f5"
BLUE, RED, YELLOW, GREEN, PURPLE, TEAL = "#2f6db3", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#00798c"
WIDTH, NARROW = 7.2, 5.4  # inches: the width of the text, and of a page on hardware
ABOVE = {"loc": "outside upper center", "fontsize": 8}  # a legend above the axes


def use() -> None:
    """Sets the plot style, and sharp vector graphics in notebooks."""
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.grid": True,
            "grid.color": "#e8eaf0",
            "legend.frameon": False,
            "svg.hashsalt": "lowbit",
        },
    )
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    # The layout holds all of a figure; "tight", the default there, would draw it twice.
    set_matplotlib_formats("svg", metadata={"Date": None}, bbox_inches=None)


def svg(figure: plt.Figure) -> str:
    """The figure as text, which is the same whenever its numbers are."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def placeholder(text: str, width: float = WIDTH) -> plt.Figure:
    """A line of text in the place of a figure without data."""
    figure, ax = plt.subplots(figsize=(width, 0.5))
    ax.text(0, 0.5, text, color=INK, va="center")
    ax.set_axis_off()
    return figure


def legend(figure: plt.Figure, axes: Iterable[plt.Axes] | None = None) -> None:
    """A legend above the figure with each label of some axes, or of all, once; in as many columns as fit."""
    handles: dict[str, object] = {}
    for ax in figure.axes if axes is None else axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    fitting = int(12.5 * figure.get_figwidth()) // max(map(len, handles), default=1)  # of 12.5 characters an inch
    columns = max(1, min(4, fitting, len(handles)))
    figure.legend(handles.values(), handles.keys(), ncols=columns, **ABOVE)


def log_axis(axis: Axis, *, base: int = 10, subs: Sequence[float] = (1, 2, 5), ticks: Sequence[float] = ()) -> None:
    """A logarithmic axis with plain numbers at `ticks`, or else at the multiples `subs` of every power of the base."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=base)
    axis.set_major_locator(LogLocator(base, subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())
    if len(ticks):
        axis.set_ticks(ticks, [str(tick) for tick in ticks])
        axis.set_minor_locator(NullLocator())


def label_rows(ax: plt.Axes, labels: Sequence[str], margin: float = 0.5) -> None:
    """Labels rows at 0, 1, 2 ... on the vertical axis, the first on top."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(max(len(labels), 1) - 1 + margin, -margin)


def stack(ax: plt.Axes, y: int, parts: dict[str, float], colors: Iterable[str], height: float) -> list[BarContainer]:
    """A horizontal bar of parts that lie end to end from zero."""
    start, bars = 0.0, []
    for (name, value), color in zip(parts.items(), colors, strict=True):
        bars.append(ax.barh(y, value, left=start, color=color, height=height, label=name))
        start += value
    return bars
