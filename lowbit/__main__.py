"""The command line: run a study, train one spec, fetch data, write tables."""

import argparse
import functools
import os
import sys

from lowbit.batch.options import parser
from lowbit.registry import InputError

DIVERGED = 3  # exit status: all pages are there, and a run that was trained has no score


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 when all went well, 1 when runs failed, 2 when the input was wrong, 3 when a run diverged."""
    try:
        options = parser().parse_args(arguments)
        status = COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("lowbit: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, as `head`, has closed the pipe; the rest of the output is discarded
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (InputError, OSError) as error:  # the second of a file or folder of the wrong kind
        print("lowbit:", " ".join(str(error).split()), file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    from lowbit.batch import engine, plan, run, view
    from lowbit.studies import spec

    threads = engine.threads(options.jobs)
    only = spec.pairs(options.only)
    _report_problems()
    batch = plan.make(options.study, only, options.fresh, options.stale)
    engine.check(batch.todo, options.jobs, options.executor)
    print(view.summary(batch, options.jobs, threads if options.executor == "local" else None), flush=True)
    if options.dry_run:
        print("\n".join(f"  {page.name}" for page in batch.todo) or "  nothing to do")
        return 0
    screen = view.Screen(sys.stdout)
    outcome = run.run(batch, options.jobs, options.executor, screen.show)
    screen.clear()
    print(f"{len(outcome.executed)} executed, {len(outcome.current)} up to date, {len(outcome.failed)} failed")
    for name, error in outcome.failed.items():
        print(f"lowbit: {name}: {error}", file=sys.stderr)
    diverged = _report_divergence([page.spec for page in outcome.executed if page.template == "train"])
    if outcome.failed:
        return 1
    return DIVERGED if any(page.spec in diverged for page in batch.trained) else 0  # not those recalled


def _why(options: argparse.Namespace) -> int:
    from lowbit.batch import journal

    print(journal.why(options.key))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from lowbit.hardware import ledger
    from lowbit.training import verify

    if options.hardware == bool(options.study):
        raise InputError("name a study, or say --hardware")
    if options.sample < 1:
        raise InputError(f"samples are counted from 1, not {options.sample}")
    if not 0 < options.share <= 1 or (options.hardware and options.share < 1):
        raise InputError(f"a share of a run is above 0 and at most 1, not {options.share}; hardware has none")
    if options.hardware:
        items, judge = ledger.sample(options.sample), ledger.verify
    else:
        items = verify.sample(options.study, options.sample)
        judge = verify.verify if options.share == 1 else functools.partial(verify.verify_start, share=options.share)
    verdicts = []
    for item in items:
        verdicts.append(judge(item))
        print(f"{verdicts[-1].verdict}: {verdicts[-1].key}: {verdicts[-1].reason}", flush=True)
    return 1 if any(verdict.verdict in ("different", "failed") for verdict in verdicts) else 0


def _import(options: argparse.Namespace) -> int:
    from lowbit.training import verify

    if not os.path.isdir(options.folder):
        raise InputError(f"no folder {options.folder!r}")
    verdicts = verify.take(options.folder)
    for row in verdicts:
        name = row.file.name.encode(errors="backslashreplace").decode()
        print(f"{row.verdict}: {name}" + (f" ({row.reason})" if row.reason else ""))
    return 1 if any(row.verdict == "refused" for row in verdicts) else 0


def _clean(options: argparse.Namespace) -> int:
    from lowbit.batch import run

    removed = run.clean()
    print("\n".join([*map(str, removed), f"{len(removed)} removed"]))
    return 0


def _status(options: argparse.Namespace) -> int:
    from lowbit.batch import plan
    from lowbit.studies import study

    _report_problems()
    if options.study is None:
        for name in sorted(study.STUDIES):
            print(f"{name}: {study.STUDIES[name].__doc__.splitlines()[0]}")
        return 0
    for state, pages in plan.states(options.study).items():
        print("\n  ".join([f"{state}: {len(pages)}", *(page.name for page in pages if state != "done")]))
    for remark, reasons in plan.remarks(options.study).items():
        lines = [f"{key}: {reason}" if reason else key for key, reason in reasons.items()]
        print("\n  ".join([f"{remark}: {len(lines)}", *lines]))
    return 0


def _train(options: argparse.Namespace) -> int:
    from lowbit.layers import kernels
    from lowbit.studies import spec, store
    from lowbit.training.train import advance, checkpoint_path, progress, recall

    if options.until is not None and options.until < 1:
        raise InputError(f"updates are counted from 1, not {options.until}")
    run = spec.read(options.spec)
    recorded = store.current(run) is not None
    if recorded and options.fresh:
        store.mark(run)
    watch = progress(run) if sys.stderr.isatty() else None
    if options.until is not None and (options.fresh or not recorded):
        point = advance(run, options.until, watch)[-1]
        print(f"{run.key}: update {point['update']:,} of {run.recipe.updates:,}, validation {point['valid']:.4f}")
        print(f"  checkpoint    {checkpoint_path(run)}")
        return 0
    record = recall(run, watch)
    sampled = record.metrics["sampled"]
    print(f"{run.key}: {record.metric['unit']}")
    print(f"  deployed      {record.metrics['deployed']:.4f}")
    print(f"  as published  {record.metrics['as_published']:.4f}")
    print(f"  sampled       {sampled['mean']:.4f} +- {sampled['std']:.4f}")
    print(f"  record        {store.path(run)}")
    if recorded and not options.fresh:
        print("  recalled: the record was on file; --fresh trains again")
    for name, need in kernels.unavailable().items():
        print(f"  kernel {name!r} is not used: {need}")
    return DIVERGED if _report_divergence([run]) else 0


def _diagnose(options: argparse.Namespace) -> int:
    from lowbit.studies import spec
    from lowbit.training import diagnose
    from lowbit.training.train import progress

    run = spec.read(options.spec)
    diagnosis = diagnose.recall(run, progress(run) if sys.stderr.isatty() else None)
    radii = [value for step in diagnosis.jacobians["radius"] for value in step]
    network = "the network of the record" if diagnosis.same else "a network trained again; the record's differs"
    print(f"{run.key}: {network}")
    if radii:
        print(f"  largest eigenvalue  {min(radii):.3f} to {max(radii):.3f}")
    for gate, entry in diagnosis.gates.items():
        print(f"  gate {gate}, saturated  {100 * (entry['low'] + entry['high']):.1f} %")
    print(f"  diagnosis  {diagnose.path(run)}")
    return 0


def _data(options: argparse.Namespace) -> int:
    from lowbit import datasets

    chosen = {name: datasets.build(name) for name in options.datasets or datasets.local()}
    for name, dataset in chosen.items():
        counts = ", ".join(f"{split} {len(arrays[0]):,}" for split, arrays in dataset.splits.items())
        print(f"{name}: {counts}, outputs {dataset.outputs}, sha256 {dataset.digest[:12]}")
    return 0


def _rtl(options: argparse.Namespace) -> int:
    from lowbit.hardware import rtl

    print(rtl.verilog(options.machine, options.cell, options.inputs, options.hidden), end="")
    return 0


def _synthesize(options: argparse.Namespace) -> int:
    from lowbit.hardware import ledger

    for line in ledger.synthesize(options.library, options.part):
        print(line, flush=True)
    return 0


def _tables(options: argparse.Namespace) -> int:
    from lowbit import paths
    from lowbit.plots import style, tables
    from lowbit.plots.hardware import overview
    from lowbit.plots.results import findings, rankings, width
    from lowbit.studies import store

    _report_problems()
    print("changed: " + (", ".join(tables.write()) or "nothing"))
    tasks = findings.gather(store.frame(store.scan(*store.EVIDENCE).records))
    style.use()
    store.write(paths.book() / "tables" / "losses.svg", style.svg(findings.losses(tasks)))
    drawings = (overview.timeline, overview.utilisation, overview.parts, rankings.standings, width.costs, width.pareto)
    for draw in drawings:
        store.write(paths.book() / "tables" / f"{draw.__name__}.svg", style.svg(draw()))
    return 0


def _report_problems() -> None:
    from lowbit.onchip import record
    from lowbit.speed import benchmarks
    from lowbit.studies import store
    from lowbit.training import diagnose

    for kind in (store, diagnose, benchmarks, record):
        for problem in kind.scan().problems:
            print(f"lowbit: {problem}", file=sys.stderr)


def _report_divergence(runs: list) -> list:
    """The runs that diverged, each named on standard error."""
    from lowbit.studies import store

    diverged = [run for run in runs if store.has_diverged(run)]
    for run in diverged:
        print(f"lowbit: {run.key} diverged; its record is marked so, and no table ranks it", file=sys.stderr)
    return diverged


_FUNCTIONS = (_run, _status, _why, _verify, _import, _clean, _train, _diagnose, _data, _rtl, _synthesize, _tables)
COMMANDS = {function.__name__.removeprefix("_"): function for function in _FUNCTIONS}

if __name__ == "__main__":
    sys.exit(main())
