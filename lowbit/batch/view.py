"""The text of a batch on a terminal: the summary of its plan, a line for every page that ended, a progress bar."""

import io

from tqdm import tqdm

from lowbit.batch.journal import Entry
from lowbit.batch.plan import Plan
from lowbit.batch.run import Progress
from lowbit.plots.templates import Page


def summary(plan: Plan, jobs: int, threads: int | None = 1) -> str:
    """How many pages a batch has, how many are recalled and to do, and the time they may take.

    `threads` of each page; None where their budgets say.
    """
    runs = sum(page.template == "train" for stage in plan.stages for page in stage)
    lines = [f"{runs} runs: {runs - len(plan.trained)} recalled, {len(plan.trained)} to train"]
    if plan.replaced:
        lines[0] += f" ({len(plan.replaced)} of them to replace a record)"
    lines.append(f"{len(plan.todo) + len(plan.current)} pages: {len(plan.current)} up to date, {len(plan.todo)} to do")
    lines[-1] += f", {jobs} at a time" if plan.todo else ""
    lines[-1] += f" on {threads} thread{'s' * (threads > 1)}" if plan.todo and threads else ""
    seconds = [plan.seconds[page.name] for page in plan.todo if page.name in plan.seconds]
    if seconds:
        unlike = len(plan.todo) - len(seconds)
        lines.append(f"about {duration(sum(seconds) / jobs)} by earlier runs")
        lines[-1] += f", without {unlike} pages that are like none before" if unlike else ""
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them.

    >>> duration(7.0), duration(95.0), duration(7300.0)
    ('7 s', '2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class Screen:
    """A line for every page that has ended; on a terminal also a bar with the time left and the oldest running page."""

    def __init__(self, out: io.TextIOBase):
        form = {"bar_format": "{bar:30} {n_fmt} of {total_fmt}{postfix}", "dynamic_ncols": True, "leave": False}
        self.out, self.bar = out, tqdm(file=out, disable=not out.isatty(), **form)

    def show(self, news: list[tuple[Page, Entry]], progress: Progress) -> None:
        """Prints the pages that ended since the last call and draws the bar anew."""
        for page, entry in news:
            end = f"FAILED: {entry.error}" if entry.error else duration(entry.seconds)
            self.bar.write(f"[{progress.ended}/{progress.total}] {page.name}  {end}", self.out)
        self.bar.n, self.bar.total = progress.ended, progress.total
        parts = [f"{progress.failed} failed"] * (progress.failed > 0)
        parts += [] if progress.remaining is None else [f"{duration(max(progress.remaining, 0))} left"]
        if progress.running:
            page, seconds = max(progress.running, key=lambda row: row[1])
            parts.append(f"{len(progress.running)} running: {page.name} {duration(seconds)}")
        self.bar.set_postfix_str(", ".join(parts))
        self.out.flush()

    def clear(self) -> None:
        """Removes the bar."""
        self.bar.close()
