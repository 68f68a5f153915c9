import io

import pytest

from lowbit.batch import view
from lowbit.batch.journal import Entry
from lowbit.batch.run import Progress
from lowbit.plots.templates import Page
from lowbit.studies.spec import RunSpec

PAGE = Page("train", RunSpec())
DONE = Entry("done", 0.0, 1, True, seconds=3.0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_finished_page_is_printed_once_and_the_bar_is_removed(kind):
    out = kind()
    screen = view.Screen(out)
    screen.show([(PAGE, DONE)], Progress(1, 3, 0, [(PAGE, 5.0)], 120.0))
    screen.show([], Progress(1, 3, 0, [(PAGE, 6.0)], 119.0))
    screen.clear()
    text = out.getvalue()
    assert text.count(f"[1/3] {PAGE.name}  3 s\n") == 1
    for part in ("1 of 3", "2 min left", f"1 running: {PAGE.name[:9]}"):
        assert (part in text) == out.isatty()
    assert text.rpartition("\n")[2].rpartition("\r")[2].strip() == ""


def test_a_failure_is_printed_with_its_error():
    out = io.StringIO()
    failed = Entry("failed", 0.0, 2, True, error="disk full")
    view.Screen(out).show([(PAGE, failed)], Progress(1, 1, 1, [], None))
    assert "FAILED: disk full" in out.getvalue()
