"""Pages: one template executed by papermill with the fields of one spec, in place whole or not at all."""

import ast
import dataclasses
import hashlib
import json
from pathlib import Path

from lowbit import paths
from lowbit.plots.templates import TEMPLATES, Page
from lowbit.studies import provenance, store


def is_current(page: Page) -> bool:
    """Whether the page exists, was executed to its end, and its template and records are still the same."""
    if page.template == "train" and store.is_marked(page.spec):
        return False
    try:
        metadata = json.loads(page.path.read_text())["metadata"]
    except (OSError, ValueError, KeyError):
        return False
    return metadata.get("lowbit") == fingerprint(page)


def fingerprint(page: Page) -> str:
    """A digest of what a page is made from: template, spec, what it shows, and the modules that draw it."""
    text = template(page).read_text()
    parts = [text, repr(page.spec), *TEMPLATES[page.template].sources(page.spec), *_drawers(text)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _drawers(text: str) -> list[str]:
    """Digests of the modules that the cells of a template name."""
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    nodes = ast.walk(ast.parse("\n".join("".join(cell["source"]) for cell in cells)))
    names = sorted({ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)})
    return [provenance.bare(name) for name in names if name.startswith("lowbit.") and provenance.source(name)]


def unfinished(name: str) -> Path:
    """The notebook of a page while it is executed; it stays where that fails."""
    return paths.runs() / "notebooks" / f"{name}.ipynb"


def execute(page: Page, limit: int | None = None) -> str:
    """Executes one page, a cell at most `limit` seconds; returns the error, or "" when the page is in its place."""
    import nbformat
    import papermill

    from lowbit.batch import shell

    part = unfinished(page.name)
    try:
        notebook = nbformat.read(template(page), as_version=4)
        _personalize(notebook, page)
        store.write(part, nbformat.writes(notebook))
        literal = str(part).replace("{", "{{").replace("}", "}}")  # papermill fills braces of paths
        engine = {"engine_name": shell.NAME, "kernel_name": "python3", "language": "python"}
        settings = {"progress_bar": False, "cwd": paths.root(), "execution_timeout": limit, **engine}
        papermill.execute_notebook(literal, literal, dataclasses.asdict(page.spec), **settings)
        finished = nbformat.read(part, as_version=4)
        for cell in finished.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell.metadata.tags.append("hide-input")
        finished.metadata["lowbit"] = fingerprint(page)
        store.write(page.path, nbformat.writes(finished))
    except Exception as error:
        return (str(error).strip() or repr(error)).splitlines()[-1]
    part.unlink(missing_ok=True)
    return ""


def template(page: Page) -> Path:
    """The notebook that a page is made from."""
    return paths.notebooks() / f"{page.template}.ipynb"


def _personalize(notebook, page: Page) -> None:
    """Fills the heading and makes the names of figures unique to the page; papermill fills code cells only."""
    values = dataclasses.asdict(page.spec)
    notebook.cells[0].source = notebook.cells[0].source.format(**values)
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if figure:
            figure["name"] = f"{figure['name']}-{page.name.replace('/', '-')}"
