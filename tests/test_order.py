"""A package imports only from those before it in the order of the work; plotting and Jupyter enter with `plots`."""

import ast

import pytest

from lowbit import paths

TOP = ("__init__", "__main__", "paths", "registry")
ORDER = (
    *("paths", "registry", "compiled", "quantizers", "datasets", "layers", "studies", "training"),
    *("hardware", "inference", "onchip", "speed", "plots", "batch", "__main__"),
)
HEAVY = {"matplotlib", "seaborn", "papermill", "nbformat", "IPython", "matplotlib_inline", "traitlets"}
LIBRARY = paths.SOURCE / "lowbit"
SOURCES = sorted(LIBRARY.rglob("*.py"))


def name(path):
    return path.relative_to(LIBRARY).as_posix()


def package(path):
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path):
    """Returns the modules that a file imports, with the packages behind `from lowbit import a, b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"lowbit.{alias.name}" for alias in node.names) if node.module == "lowbit" else [node.module]


def test_the_top_level_has_the_listed_packages_only():
    assert {path.stem for path in LIBRARY.glob("*.py")} == set(TOP)
    assert {path.name for path in LIBRARY.iterdir() if list(path.glob("*.py"))} | set(TOP) == {"__init__", *ORDER}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.parent != LIBRARY or path.stem != "__init__"], ids=name
)
def test_imports_follow_the_order(path):
    own = ORDER.index(package(path))
    for module in imports(path):
        if module.startswith("lowbit."):
            assert ORDER.index(module.split(".")[1]) <= own, module
        if module.split(".")[0] in HEAVY:
            assert own >= ORDER.index("plots"), module


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_is_short_and_named_after_its_subject(path):
    assert len(path.read_text().splitlines()) <= 250
    assert path.stem not in ("utils", "helpers", "common", "misc", "manager")
