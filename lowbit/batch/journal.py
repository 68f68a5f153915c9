"""What befell each page: a small file a page, written by whoever works on it and read by whoever watches."""

import dataclasses
import json
import os
import re
import socket
import time
from pathlib import Path

from lowbit import paths
from lowbit.batch import pages
from lowbit.plots.templates import Page
from lowbit.registry import InputError
from lowbit.studies import store

KINDS = {str: str, int: int, bool: bool, float: int | float}  # what JSON gives for the fields of an entry
LATEST = 253402300799  # seconds: the end of the year 9999
COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class Entry:
    """The last attempt at a page."""

    state: str  # running, done or failed
    began: float  # seconds since 1970
    attempt: int  # counted from 1, anew after a page was done
    trained: bool  # rather than drawn from a record
    seconds: float = 0.0  # of a page that has ended, wall clock
    error: str = ""  # one line
    host: str = ""
    process: int = 0


def read(page: Page) -> Entry | None:
    """The last attempt at a page, or None where nothing readable is told of one."""
    return _load(_path(page.name))


def entries() -> dict[str, Entry]:
    """The last attempt at every page that was ever worked on here, by its name."""
    told = {file.relative_to(_folder()).with_suffix("").as_posix(): _load(file) for file in _folder().rglob("*.json")}
    return {name: entry for name, entry in sorted(told.items()) if entry is not None}


def work(page: Page, limit: int | None = None) -> str:
    """Brings one page up to date, one process at a time, and tells of it; gives the error, or ""."""
    with _lock(page):
        if pages.is_current(page):
            return ""
        before, began = read(page), time.time()
        attempt = before.attempt + 1 if before and before.state != "done" else 1
        trained = page.template == "train" and store.current(page.spec) is None
        entry = Entry("running", began, attempt, trained, host=socket.gethostname(), process=os.getpid())
        try:
            _write(page, entry)
            error = pages.execute(page, limit)
        except InputError as full:
            error = str(full)
        ended = {"state": "failed" if error else "done", "seconds": round(time.time() - began, 2), "error": error}
        _write(page, dataclasses.replace(entry, **ended))
        return error


def state(page: Page) -> str:
    """Running, done or failed as told; interrupted where the teller is gone; open where nothing is told."""
    entry = read(page)
    if entry is None:
        return "open"
    return "interrupted" if entry.state == "running" and not _is_held(page) else entry.state


def why(key: str) -> str:
    """What befell a page, by its name or the key of its run, and of a failed one the cell and its notebook."""
    told = entries()
    names = [name for name in told if key and (name == key or name.rpartition("/")[2].startswith(key))]
    if not names:
        failed = [name for name, entry in told.items() if entry.state == "failed"]
        raise InputError(f"nothing is told of {key!r}; failed: {', '.join(failed) or 'none'}")
    return "\n".join(_story(name, told[name]) for name in names)


def log(name: str) -> Path:
    """What the worker of a page printed."""
    return paths.runs() / "logs" / f"{name}.log"


def _story(name: str, entry: Entry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.began))
    lines = [f"{name}: {entry.state}, attempt {entry.attempt} of {when} on {entry.host}, {entry.seconds:.1f} s"]
    if entry.state == "done":
        return lines[0]
    lines += [f"  {entry.error}"] if entry.error else ["  no end was told: it runs, or was killed"]
    lines += _failing_cell(pages.unfinished(name), dead=entry.error in ("", pages.DEAD))
    files = {"notebook": pages.unfinished(name), "log": log(name)}
    return "\n".join([*lines, *(f"  {kind}: {file}" for kind, file in files.items() if file.exists())])


def _failing_cell(file: Path, dead: bool) -> list[str]:
    """The source of the cell that raised, with its traceback; without one, of the cell in which the kernel died."""
    try:
        cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
        for cell in cells:
            for output in cell["outputs"]:
                if output["output_type"] == "error":
                    return _shown(cell, COLORS.sub("", "\n".join(output["traceback"])))
        # Papermill calls all cells completed when a kernel dies; those that it never began have no time.
        begun = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
        last = begun[-1:] or [cell for cell in cells if cell["execution_count"] is None][:1]
        return _shown(last[0]) if dead and last else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _shown(cell: dict, traceback: str = "") -> list[str]:
    lines = [f"    | {line}" for line in "".join(cell["source"]).splitlines()]
    return ["  in the cell", *lines, *(f"    {line}" for line in traceback.splitlines())]


def _folder() -> Path:
    return paths.runs() / "journal"


def _path(name: str) -> Path:
    return _folder() / f"{name}.json"


def _load(file: Path) -> Entry | None:
    try:
        entry = Entry(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    typed = all(isinstance(getattr(entry, field.name), KINDS[field.type]) for field in dataclasses.fields(Entry))
    timed = typed and 0 <= entry.began <= LATEST and 0 <= entry.seconds <= LATEST
    return entry if timed and entry.state in ("running", "done", "failed") else None


def _write(page: Page, entry: Entry) -> None:
    store.write(_path(page.name), json.dumps(dataclasses.asdict(entry)) + "\n")


def _lock(page: Page):
    return store.hold(page.name.replace("/", "-"))


def _is_held(page: Page) -> bool:
    lock = _lock(page)
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return True
    lock.release()
    return False
