"""A room imports only from floors below its own; matplotlib and Jupyter enter with the figures."""

import ast

import pytest

from lowbit import paths

FLOORS = [
    {"paths", "registry", "packing", "ctc", "warm"},
    {"metrics", "machinecode", "options"},
    {"quantizers", "norm", "datasets", "loops"},
    {"cells"},
    {"kernels"},
    {"recurrent", "spec"},
    {"models"},
    {"provenance", "schema"},
    {"divergence"},
    {"store", "evaluate", "weights", "hardware", "comparisons"},
    {"checkpoint", "updates"},
    {"canary"},
    {"train", "study", "measure", "workbench"},
    {"trained", "freshness"},
    {"intake"},
    {"diagnose", "inference"},
    {"speed", "onchip"},
    {"templates", "roofline"},
    {"figures", "report", "pages"},
    {"journal"},
    {"plan", "engine"},
    {"batch", "worker"},
    {"findings", "rankings", "diagrams", "blueprints", "charts", "drawings", "view", "clean", "speedtables"},
    {"claims"},
    {"tables", "speedplots"},
    {"__main__", "ready"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {"matplotlib", "seaborn", "papermill", "nbformat", "IPython", "matplotlib_inline", "traitlets"}
SOURCES = sorted((paths.SOURCE / "lowbit").rglob("*.py"))


def room(path):
    below = path.relative_to(paths.SOURCE / "lowbit")
    return below.parts[0].removesuffix(".py")


def imports(path):
    """Modules that a file imports, with the rooms behind `from lowbit import a, b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "lowbit":
                yield from (f"lowbit.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_room_has_a_floor():
    assert {room(path) for path in SOURCES} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("path", [p for p in SOURCES if room(p) != "__init__"], ids=lambda p: p.stem)
def test_imports_go_down(path):
    own = room(path)
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "lowbit" and parts[1] != own:
            assert FLOOR[parts[1]] < FLOOR[own], f"{own} imports {parts[1]}"
        if parts[0] in HEAVY:
            assert FLOOR[own] >= FLOOR["figures"], f"{own} imports {parts[0]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_a_module_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 250
    assert path.stem not in ("utils", "helpers", "common", "misc", "manager")
