"""What the engine costs: trivial runs by `lowbit run`, and by papermill alone in a loop with as many at a time.

python benchmarks/overhead.py [RUNS] [JOBS] [RUNS OF PAPERMILL ALONE]
"""

import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from lowbit import paths
from lowbit.batch import pages, plan, run
from lowbit.batch.engine import THREADS
from lowbit.plots import templates
from lowbit.plots.templates import Page
from lowbit.studies import study
from lowbit.studies.spec import RunSpec, fields

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


def alone(spec: RunSpec) -> None:
    """papermill as its manual says: one call, one kernel, one notebook."""
    import papermill

    page = Page("train", spec)
    page.path.parent.mkdir(parents=True, exist_ok=True)
    values = {field: getattr(spec, field) for field in fields()}
    papermill.execute_notebook(pages.template(page), page.path, values, progress_bar=False, kernel_name="python3")


def timed(call) -> tuple[float, float]:
    """Wall and processor seconds of this process and all that it waited for."""
    before, began = os.times(), time.perf_counter()
    call()
    after = os.times()
    return time.perf_counter() - began, sum(after[:4]) - sum(before[:4])


def main(count: int = 20, jobs: int = 2, loop_count: int = 0) -> None:
    """Both ways in turn, each in a root of its own; each run of papermill costs the same, so it may have fewer."""
    runs = [RunSpec(budget=TINY, seed=seed) for seed in range(count)]
    study.STUDIES["trivial"] = lambda: runs
    few = runs[: loop_count or count]
    templates.pages = lambda runs: ([Page("train", run) for run in runs], [])
    os.environ.update(dict.fromkeys(THREADS, "1"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(paths.SOURCE), os.environ.get("PYTHONPATH")]))

    def loop() -> None:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            list(pool.map(alone, few))

    ways = {"papermill": (loop, len(few)), "lowbit run": (lambda: run.run(plan.make("trivial"), jobs), count)}
    for name, (call, number) in ways.items():
        with tempfile.TemporaryDirectory() as home:
            os.environ["LOWBIT_HOME"] = home
            wall, cpu = timed(call)
            records = len(list(paths.results().rglob("*.json")))
        print(
            f"{name}: {wall:.1f} s, {cpu:.1f} s of processors, {records} records; a run {wall / number:.2f} s, "
            f"{cpu / number:.2f} s of processors",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
