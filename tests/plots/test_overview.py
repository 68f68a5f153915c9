"""The figures and tables of the chapter on hardware show the results of the models."""

import numpy as np
import pytest

from lowbit.hardware import accelerator, cost
from lowbit.hardware.cycles import Workload
from lowbit.plots.hardware import machines, overview
from lowbit.plots.markdown import table


def test_every_output_occurs_once_in_the_timeline():
    (ax,) = overview.timeline().axes
    rows = np.asarray(ax.collections[0].get_array()).reshape(len(overview.SHOWN), -1)
    shown = dict(zip([label.get_text() for label in ax.get_yticklabels()], rows, strict=True))
    assert shown["outputs come"].sum() == shown["units leave"].sum() / 2 == 16
    assert not (shown["lanes add"] * shown["lanes wait for the unit"]).any()


def test_the_cycle_model_agrees_with_the_closed_form():
    (ax,) = overview.utilisation().axes
    small, *dots = ax.lines[0], *ax.lines[4:]
    line = dict(zip(*small.get_data(), strict=True))
    for dot in dots:
        ((lanes,), (share,)) = dot.get_data()
        assert line[lanes] == pytest.approx(share)


def test_stacked_parts_sum_to_the_total():
    left, right = overview.parts().axes
    machine, work = accelerator.build("binary"), Workload("lstm", 50, 512)
    wholes = {left: cost.area(machine, work).total_um2, right: cost.energy(machine, work).total_pj.high}
    for ax, whole in wholes.items():
        last = [bar for bar in ax.patches if round(bar.get_y() + bar.get_height() / 2) == 3][-1]
        assert last.get_x() + last.get_width() == pytest.approx(whole / 1e6)


def test_tables_mark_recalled_values_and_name_every_machine():
    tables = {name: table(rows) for name, rows in machines.tables().items()}
    assert tables["engines"].count("†") == 2
    for name in accelerator.catalogue():
        assert f"| {name} |" in tables["machines"]
