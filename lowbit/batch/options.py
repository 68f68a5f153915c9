"""The parser of the command line."""

import argparse
import os
from typing import NoReturn

from lowbit.registry import InputError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others."""

    def error(self, message: str) -> NoReturn:
        """Raises `InputError`."""
        raise InputError(f"{message} (see: {self.prog} --help)")


def parser() -> Parser:
    """The parser; `command` is the name of the chosen command."""
    top = Parser(prog="lowbit", description="Run a study, train one spec, fetch data, write tables.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=name)
        return sub

    run = add("run", "execute every page of a study that is not up to date")
    run.add_argument("study", help="smoke, tour, ... (see: lowbit status)")
    run.add_argument("--only", nargs="+", metavar="FIELD=VALUE,...", default=[], help="part of the runs")
    run.add_argument("--jobs", type=int, default=os.cpu_count(), help="pages at a time (default: cores)")
    run.add_argument("--fresh", action="store_true", help="train again what has a record")
    run.add_argument("--stale", action="store_true", help="train again what today's code computes otherwise, or may")
    run.add_argument("--dry-run", action="store_true", help="print what would be executed")
    run.add_argument("--executor", choices=["local", "slurm"], default="local", help="where pages are executed")
    status = add("status", "list the pages of a study by state; without a name, list the studies")
    status.add_argument("study", nargs="?")
    why = add("why", "show the last attempt at a page: the failing cell, its notebook and its log")
    why.add_argument("key", help="of a run, or the name of a page")
    verify = add("verify", "make records of a study, or rows of the ledger of gates, again and compare")
    verify.add_argument("study", nargs="?")
    verify.add_argument("--hardware", action="store_true", help="areas and energies, by synthesis")
    verify.add_argument("--sample", type=int, default=5, help="how many, drawn at random (default: 5)")
    verify.add_argument("--share", type=float, default=1.0, help="of the updates of a run (default: 1, and its scores)")
    records = add("import", "import records of another machine, after checks")
    records.add_argument("folder")
    add("clean", "remove what no later batch needs; failed notebooks and unfinished runs stay")
    train = add("train", "train one spec without Jupyter and file its record")
    train.add_argument("--fresh", action="store_true", help="train again what has a record")
    train.add_argument("--until", type=int, metavar="UPDATES", help="stop after these; the same command goes on")
    diagnose = add("diagnose", "measure the trained network of one spec and file the diagnosis")
    for command in (train, diagnose):
        command.add_argument("spec", nargs="*", metavar="FIELD=VALUE", help="as in dataset=markov quantizer=ternary")
    data = add("data", "download and check datasets (default: those that need no download)")
    data.add_argument("datasets", nargs="*", metavar="DATASET")
    rtl = add("rtl", "write the Verilog of a machine's engine, its memories as ports, to standard output")
    rtl.add_argument("machine", help="ternary, full(lanes=20), ... (see: data/machines.csv)")
    rtl.add_argument("--cell", default="lstm", help="lstm, gru, rnn or relu_rnn (default: lstm)")
    rtl.add_argument("--inputs", type=int, default=50, help="symbols of the input (default: 50)")
    rtl.add_argument("--hidden", type=int, default=512, help="hidden units (default: 512)")
    synthesize = add("synthesize", "map lanes and engines onto a cell library; file areas, energies")
    synthesize.add_argument("library", help="sg13g2, sky130 or gf180 (see: data/libraries.csv)")
    synthesize.add_argument("part", nargs="?", choices=("lane", "engine"), help="only these (default: both)")
    add("tables", "write the tables that the chapters include, and the picture of the README")
    return top
