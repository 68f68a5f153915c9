"""What a batch looks like while it runs: a plan in words, a line for every page, and a few live lines."""

import io

from lowbit.batch.batch import Progress
from lowbit.batch.journal import Entry
from lowbit.batch.plan import Plan
from lowbit.plots.templates import Page

BAR = 30  # characters
SHOWN = 4  # pages at work


def summary(plan: Plan, jobs: int, threads: int | None = 1) -> str:
    """How many pages a batch has, what is recalled and what is done, and how long that may take.

    `threads` of each page; none where their budgets say.
    """
    runs = sum(page.template == "train" for stage in plan.stages for page in stage)
    lines = [f"{runs} runs: {runs - len(plan.trained)} recalled, {len(plan.trained)} to train"]
    if plan.again:
        lines[0] += f" ({len(plan.again)} of them to replace a record)"
    lines.append(f"{len(plan.todo) + len(plan.current)} pages: {len(plan.current)} up to date, {len(plan.todo)} to do")
    lines[-1] += f", {jobs} at a time" if plan.todo else ""
    lines[-1] += f" on {threads} thread{'s' * (threads > 1)}" if plan.todo and threads else ""
    known = [plan.seconds[page.name] for page in plan.todo if page.name in plan.seconds]
    if known:
        told = f"about {duration(sum(known) / jobs)} by earlier runs"
        unlike = len(plan.todo) - len(known)
        lines.append(told + (f", without {unlike} pages that are like none before" if unlike else ""))
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as one reads them.

    >>> duration(7.0), duration(95.0), duration(7300.0)
    ('7 s', '2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class Screen:
    """A line for every page that has ended; on a terminal, below them, how far all is and what runs now."""

    def __init__(self, out: io.TextIOBase):
        self.out, self.live, self.lines = out, out.isatty(), 0

    def show(self, news: list[tuple[Page, Entry]], progress: Progress) -> None:
        """To be called now and then."""
        self.clear()
        for page, entry in news:
            end = f"FAILED: {entry.error}" if entry.error else f"{duration(entry.seconds)}"
            self.out.write(f"[{progress.ended}/{progress.total}] {page.name}  {end}\n")
        if self.live:
            lines = _lines(progress)
            self.out.write("".join(f"{line}\n" for line in lines))
            self.lines = len(lines)
        self.out.flush()

    def clear(self) -> None:
        """Takes the live lines away."""
        if self.lines:
            self.out.write(f"\x1b[{self.lines}A\x1b[J")
            self.lines = 0


def _lines(progress: Progress) -> list[str]:
    full = round(BAR * progress.ended / max(progress.total, 1))
    left = "" if progress.left is None else f", {duration(max(progress.left, 0))} left"
    failed = f", {progress.failed} failed" if progress.failed else ""
    lines = [f"{'█' * full}{'·' * (BAR - full)} {progress.ended} of {progress.total}{failed}{left}"]
    lines += [f"  {page.name}  {duration(seconds)}" for page, seconds in progress.running[:SHOWN]]
    return lines + [f"  and {len(progress.running) - SHOWN} more"] * (len(progress.running) > SHOWN)
