"""The command line: run a study, train one spec, fetch data, write tables."""

import argparse
import os
import sys

from lowbit.options import parser
from lowbit.registry import InputError

DIVERGED = 3  # exit status: all pages are there, and a run that was trained has no score


def main(words: list[str] | None = None) -> int:
    """Runs one command; 0 when all went well, 1 when runs failed, 2 when the input was wrong, 3 when a run diverged."""
    try:
        options = parser().parse_args(words)
        status = COMMANDS[options.command](options)
        sys.stdout.flush()
        return status
    except InputError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("lowbit: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, as `head`, has what it wants; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # of a file or folder that cannot be what it must be
        return _refuse(str(error))


def _refuse(message: str) -> int:
    print("lowbit:", " ".join(message.split()), file=sys.stderr)
    return 2


def _run(options: argparse.Namespace) -> int:
    from lowbit import batch, engine, plan, spec, view

    threads = engine.threads(options.jobs)
    only = spec.pairs(options.only)
    _report_problems()
    made = plan.make(options.study, only, options.fresh, options.stale)
    engine.check(made.todo, options.jobs, options.executor)
    print(view.summary(made, options.jobs, threads if options.executor == "local" else None), flush=True)
    if options.dry_run:
        print("\n".join(f"  {page.name}" for page in made.todo) or "  nothing to do")
        return 0
    screen = view.Screen(sys.stdout)
    outcome = batch.run(made, options.jobs, options.executor, screen.show)
    screen.clear()
    print(f"{len(outcome.executed)} executed, {len(outcome.current)} up to date, {len(outcome.failed)} failed")
    for name, error in outcome.failed.items():
        print(f"lowbit: {name}: {error}", file=sys.stderr)
    diverged = _report_divergence([page.spec for page in outcome.executed if page.template == "train"])
    if outcome.failed:
        return 1
    return DIVERGED if any(page.spec in diverged for page in made.trained) else 0  # not those recalled


def _why(options: argparse.Namespace) -> int:
    from lowbit import journal

    print(journal.why(options.key))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from lowbit import intake
    from lowbit.hardware import ledger

    if options.hardware == bool(options.study):
        raise InputError("name a study, or say --hardware")
    if options.sample < 1:
        raise InputError(f"samples are counted from 1, not {options.sample}")
    room, asked = (ledger, ()) if options.hardware else (intake, (options.study,))
    verdicts = []
    for each in room.sample(*asked, options.sample):
        verdicts.append(room.verify(each))
        print(f"{verdicts[-1].verdict}: {verdicts[-1].key}: {verdicts[-1].reason}", flush=True)
    return 1 if any(each.verdict == "different" for each in verdicts) else 0


def _import(options: argparse.Namespace) -> int:
    from lowbit import intake

    if not os.path.isdir(options.folder):
        raise InputError(f"no folder {options.folder!r}")
    taken = intake.take(options.folder)
    for each in taken:
        name = each.file.name.encode(errors="backslashreplace").decode()
        print(f"{each.verdict}: {name}" + (f" ({each.reason})" if each.reason else ""))
    return 1 if any(each.verdict == "refused" for each in taken) else 0


def _clean(options: argparse.Namespace) -> int:
    from lowbit import clean

    removed = clean.clean()
    print("\n".join([*map(str, removed), f"{len(removed)} removed"]))
    return 0


def _status(options: argparse.Namespace) -> int:
    from lowbit import plan, study

    _report_problems()
    if options.study is None:
        for name in sorted(study.STUDIES):
            print(f"{name}: {study.STUDIES[name].__doc__.splitlines()[0]}")
        return 0
    for state, found in plan.states(options.study).items():
        print(f"{state}: {len(found)}")
        for page in found if state != "done" else []:
            print(f"  {page.name}")
    for remark, reasons in plan.remarks(options.study).items():
        lines = [f"{key}: {reason}" if reason else key for key, reason in reasons.items()]
        print("\n  ".join([f"{remark}: {len(lines)}", *lines]))
    return 0


def _train(options: argparse.Namespace) -> int:
    from lowbit import kernels, spec, store
    from lowbit.train import progress, recall

    run = spec.read(spec.pairs(options.spec))
    record = recall(run, progress(run) if sys.stderr.isatty() else None)
    sampled = record.metrics["sampled"]
    print(f"{run.key}: {record.metric['unit']}")
    print(f"  deployed      {record.metrics['deployed']:.4f}")
    print(f"  as published  {record.metrics['as_published']:.4f}")
    print(f"  sampled       {sampled['mean']:.4f} +- {sampled['std']:.4f}")
    print(f"  record        {store.path(run)}")
    for name, need in kernels.lacking().items():
        print(f"  kernel {name!r} cannot run here: {need}")
    return DIVERGED if _report_divergence([run]) else 0


def _diagnose(options: argparse.Namespace) -> int:
    from lowbit import diagnose, spec
    from lowbit.train import progress

    run = spec.read(spec.pairs(options.spec))
    told = diagnose.recall(run, progress(run) if sys.stderr.isatty() else None)
    radii = [value for step in told.jacobians["radius"] for value in step]
    print(
        f"{run.key}: " + ("the network of the record" if told.same else "a network trained again; the record's differs")
    )
    if radii:
        print(f"  largest eigenvalue  {min(radii):.3f} to {max(radii):.3f}")
    for gate, entry in told.gates.items():
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
    from lowbit import workbench

    print(workbench.verilog(options.machine, options.cell, options.inputs, options.hidden), end="")
    return 0


def _synthesize(options: argparse.Namespace) -> int:
    from lowbit import workbench

    for line in workbench.synthesize(options.library, options.part):
        print(line, flush=True)
    return 0


def _tables(options: argparse.Namespace) -> int:
    from lowbit import drawings, figures, findings, paths, rankings, store, tables

    _report_problems()
    print("changed: " + (", ".join(tables.write()) or "nothing"))
    told = findings.gather(store.frame(store.scan(*store.COMMITTED).records))
    figures.style()
    store.write(paths.book() / "tables" / "losses.svg", figures.svg(findings.losses(told)))
    for draw in (drawings.timeline, drawings.utilisation, drawings.parts, rankings.standings):
        store.write(paths.book() / "tables" / f"{draw.__name__}.svg", figures.svg(draw()))
    return 0


def _report_problems() -> None:
    from lowbit import diagnose, speed, store
    from lowbit.onchip import record

    for kind in (store, diagnose, speed, record):
        for problem in kind.scan().problems:
            print(f"lowbit: {problem}", file=sys.stderr)


def _report_divergence(runs: list) -> list:
    """Those of some runs that diverged, each named on standard error."""
    from lowbit import store

    diverged = [run for run in runs if store.has_diverged(run)]
    for run in diverged:
        print(f"lowbit: {run.key} diverged; its record is marked so, and no table ranks it", file=sys.stderr)
    return diverged


COMMANDS = {
    "run": _run,
    "status": _status,
    "why": _why,
    "verify": _verify,
    "import": _import,
    "clean": _clean,
    "train": _train,
    "diagnose": _diagnose,
    "data": _data,
    "rtl": _rtl,
    "synthesize": _synthesize,
    "tables": _tables,
}

if __name__ == "__main__":
    sys.exit(main())
