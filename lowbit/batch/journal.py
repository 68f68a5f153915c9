"""The last attempt at each page: a small file a page, written by its worker and read by the batch and `lowbit why`."""

import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from lowbit import paths
from lowbit.batch import pages
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import store

Seconds = Annotated[float, msgspec.Meta(ge=0, le=253402300799)]  # at most the end of the year 9999
COLORS = re.compile(r"\x1b\[[0-9;]*m")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last attempt at a page."""

    state: Literal["running", "done", "failed"]
    began: Seconds  # since 1970
    attempt: int  # counted from 1, anew after a page was done
    trained: bool  # rather than drawn from a record
    seconds: Seconds = 0.0  # of a page that has ended, wall clock
    error: str = ""  # one line
    host: str = ""
    process: int = 0


def read(page: Page) -> Entry | None:
    """The last attempt at a page, or None where there is no readable one."""
    return _load(_path(page.name))


def version(page: Page) -> tuple[int, int]:
    """What tells two versions of the file of an attempt apart; zeros where there is no file."""
    try:
        status = _path(page.name).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def entries() -> dict[str, Entry]:
    """The last attempt at every page of this root, by its name."""
    files = sorted(_folder().rglob("*.json"))
    attempts = {file.relative_to(_folder()).with_suffix("").as_posix(): _load(file) for file in files}
    return {name: entry for name, entry in attempts.items() if entry is not None}


def work(page: Page, limit: int | None = None) -> str:
    """Brings one page up to date, one process at a time, and writes its entry; returns the error, or ""."""
    with _lock(page):
        if pages.is_current(page):
            return ""
        before, began = read(page), time.time()
        attempt = before.attempt + 1 if before and before.state != "done" else 1
        trained = page.template == "train" and store.current(page.spec) is None
        entry = Entry("running", began, attempt, trained, host=socket.gethostname(), process=os.getpid())
        try:
            write(page, entry)
            error = pages.execute(page, limit)
        except InputError as full:
            error = str(full)
        end = {"state": "failed" if error else "done", "seconds": round(time.time() - began, 2), "error": error}
        write(page, msgspec.structs.replace(entry, **end))
        return error


def state(page: Page) -> str:
    """The state in the entry; interrupted where the process of a running one has died; open without an entry."""
    entry = read(page)
    if entry is None:
        return "open"
    return "interrupted" if entry.state == "running" and not _is_held(page) else entry.state


def why(key: str) -> str:
    """The last attempt at the page of a name or of a run's key; of a failed one the cell and its notebook.

    Raises `InputError` for an unknown page, with those that failed.
    """
    attempts = entries()
    names = [name for name in attempts if key and (name == key or name.rpartition("/")[2].startswith(key))]
    if not names:
        failed = [name for name, entry in attempts.items() if entry.state == "failed"]
        raise InputError(f"no attempt at {key!r} is recorded; failed: {', '.join(failed) or 'none'}")
    return "\n".join(_describe(name, attempts[name]) for name in names)


def log(name: str) -> Path:
    """The output of the worker of a page."""
    return paths.runs() / "logs" / f"{name}.log"


def _describe(name: str, entry: Entry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.began))
    lines = [f"{name}: {entry.state}, attempt {entry.attempt} of {when} on {entry.host}, {entry.seconds:.1f} s"]
    if entry.state == "done":
        return lines[0]
    lines += [f"  {entry.error or 'no end is recorded: it runs, or was killed'}"]
    lines += _failing_cell(pages.unfinished(name), dead=not entry.error)
    files = {"notebook": pages.unfinished(name), "log": log(name)}
    return "\n".join([*lines, *(f"  {kind}: {file}" for kind, file in files.items() if file.exists())])


def _failing_cell(file: Path, dead: bool) -> list[str]:
    """The source of the cell that raised, with its traceback; without one, of the cell in which its process died."""
    try:
        cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
        for cell in cells:
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    return _listing(cell, COLORS.sub("", "\n".join(output["traceback"])))
        last = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")][-1:]
        return _listing(last[0]) if dead and last else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _listing(cell: dict, traceback: str = "") -> list[str]:
    lines = [f"    | {line}" for line in "".join(cell["source"]).splitlines()]
    return ["  in the cell", *lines, *(f"    {line}" for line in traceback.splitlines())]


def _folder() -> Path:
    return paths.runs() / "journal"


def _path(name: str) -> Path:
    return _folder() / f"{name}.json"


def _load(file: Path) -> Entry | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Entry)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def write(page: Page, entry: Entry) -> None:
    """Replaces the entry of a page."""
    store.write(_path(page.name), msgspec.json.encode(entry))


def _lock(page: Page):
    return store.hold(page.name.replace("/", "-"))


def _is_held(page: Page) -> bool:
    try:
        with _lock(page).acquire(blocking=False):
            return False
    except TimeoutError:
        return True
