import io

import pytest

from lowbit.batch import view
from lowbit.batch.batch import Progress
from lowbit.batch.journal import Entry
from lowbit.plots.templates import Page
from lowbit.studies.spec import RunSpec

PAGE = Page("train", RunSpec())
DONE = Entry("done", 0.0, 1, True, seconds=3.0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_what_has_ended_is_told_once_and_stays(out):
    screen = view.Screen(out)
    screen.show([(PAGE, DONE)], Progress(1, 3, 0, [(PAGE, 5.0)], 120.0))
    screen.show([], Progress(1, 3, 0, [(PAGE, 6.0)], 119.0))
    screen.clear()
    text = out.getvalue()
    assert text.count(f"[1/3] {PAGE.name}  3 s\n") == 1
    assert ("2 min left" in text) == out.isatty()
    rises = [int(part.partition("A")[0]) for part in text.split("\x1b[")[1:] if "A" in part]
    assert sum(rises) == (4 if out.isatty() else 0)  # two lines, taken away twice


def test_a_failure_is_told_with_its_error():
    out = io.StringIO()
    failed = Entry("failed", 0.0, 2, True, error="no room")
    view.Screen(out).show([(PAGE, failed)], Progress(1, 1, 1, [], None))
    assert "FAILED: no room" in out.getvalue()
