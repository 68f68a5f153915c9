"""What no later batch needs: checkpoints of finished runs, rests of killed processes, traces of finished pages."""

import shutil
from pathlib import Path

from lowbit import paths
from lowbit.batch import batch, journal
from lowbit.studies import store
from lowbit.training import checkpoint


def removable() -> list[Path]:
    """Files and folders of work that is done; what a run goes on from and what shows an error is kept."""
    runs, found = paths.runs(), []
    finished = {f"{record.run.key}.pt" for record in store.scan().records if not store.is_asked_again(record.run)}
    checkpoints = (runs / "checkpoints").glob("*.pt*")
    found += [file for file in checkpoints if file.name.removesuffix(checkpoint.DAMAGED) in finished]
    for name in [name for name, entry in journal.entries().items() if entry.state == "done"]:
        found += [file for file in (journal.log(name), runs / "notebooks" / f"{name}.ipynb") if file.exists()]
    for folder in (paths.results(), runs, paths.book() / "pages"):
        found += folder.rglob(".*.part")
    found += [folder for folder in (runs / "batch", runs / "verify") if folder.exists()]
    return sorted(found)


def clean() -> list[Path]:
    """Removes them; raises `InputError` while a batch is at work."""
    with batch.alone():
        found = removable()
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found
