"""The command of Snakemake's rules: execute a page of the stage that runs now, by its name."""

import json
import sys

from lowbit.batch import engine, journal
from lowbit.plots.templates import TEMPLATES, Page


def main(name: str) -> int:
    """0 when the page is executed and in its place."""
    job = json.loads((engine.folder() / "pages.json").read_text())[name]
    page = Page(job["template"], TEMPLATES[job["template"]].spec(**job["spec"]))
    error = journal.work(page, job["limit"])
    print(error or "done", file=sys.stderr)
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
