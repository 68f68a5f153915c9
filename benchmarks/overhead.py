"""Measures the overhead of the batch engine: trivial runs by `lowbit run`, and by papermill alone in a loop.

    python benchmarks/overhead.py [RUNS] [JOBS] [RUNS OF PAPERMILL ALONE]

Both execute the same number of runs at a time.
"""

import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import lowbit

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"


def alone(spec: lowbit.RunSpec) -> None:
    """Executes the page of a run with papermill as its manual shows: one call, one kernel, one notebook."""
    import papermill

    page = lowbit.plots.templates.Page("train", spec)
    page.path.parent.mkdir(parents=True, exist_ok=True)
    values = {field: getattr(spec, field) for field in lowbit.studies.spec.fields()}
    template = lowbit.batch.pages.template(page)
    papermill.execute_notebook(template, page.path, values, progress_bar=False, kernel_name="python3")


def timed(call) -> tuple[float, float]:
    """Calls a function; returns its wall seconds, and the processor seconds of this process and its child processes."""
    before, began = os.times(), time.perf_counter()
    call()
    after = os.times()
    return time.perf_counter() - began, sum(after[:4]) - sum(before[:4])


def main(count: int = 20, jobs: int = 2, loop_count: int = 0) -> None:
    """Measures both in turn, each in its own root folder; papermill's runs cost the same each, so fewer may do."""
    runs = [lowbit.RunSpec(budget=TINY, seed=seed) for seed in range(count)]
    lowbit.studies.study.STUDIES["trivial"] = lambda: runs
    few = runs[: loop_count or count]
    lowbit.plots.templates.pages = lambda runs: ([lowbit.plots.templates.Page("train", run) for run in runs], [])
    os.environ.update(dict.fromkeys(lowbit.batch.engine.THREADS, "1"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(lowbit.paths.SOURCE), os.environ.get("PYTHONPATH")]))

    def loop() -> None:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            list(pool.map(alone, few))

    ways = {
        "papermill": (loop, len(few)),
        "lowbit run": (lambda: lowbit.batch.run.run(lowbit.batch.plan.make("trivial"), jobs), count),
    }
    for name, (call, number) in ways.items():
        with tempfile.TemporaryDirectory() as home:
            os.environ["LOWBIT_HOME"] = home
            wall, cpu = timed(call)
            records = len(list(lowbit.paths.results().rglob("*.json")))
        print(
            f"{name}: {wall:.1f} s, {cpu:.1f} s of processors, {records} records; a run {wall / number:.2f} s, "
            f"{cpu / number:.2f} s of processors",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
