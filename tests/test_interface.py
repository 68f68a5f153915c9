"""What `import lowbit` offers is listed once; notebooks, benchmarks and examples use nothing else of the library."""

import ast
import contextlib
import json
import operator
import re
import subprocess
import sys

import pytest

import lowbit
from lowbit import paths

FILES = [*paths.notebooks().glob("*.ipynb"), *(paths.SOURCE / "benchmarks").glob("*.py")]
FILES += [*(paths.SOURCE / "book").glob("*.md"), paths.SOURCE / "README.md"]


def code(file):
    if file.suffix == ".ipynb":
        cells = json.loads(file.read_text())["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return (
        "\n".join(re.findall(r"```python\n(.*?)```", file.read_text(), re.S))
        if file.suffix == ".md"
        else file.read_text()
    )


@pytest.mark.parametrize("file", sorted(FILES), ids=lambda file: file.name)
def test_users_import_lowbit_alone_and_use_what_it_offers(file):
    for node in ast.walk(ast.parse(code(file))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("lowbit.") or alias.asname == "lowbit" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module.partition(".")[0] != "lowbit", node.module
        elif isinstance(node, ast.Attribute) and re.fullmatch(r"lowbit(\.\w+)+", name := ast.unparse(node)):
            _, first, *others = name.split(".")
            assert first in lowbit.__all__, name
            assert not any(part.startswith("_") for part in others), name
            with contextlib.suppress(ModuleNotFoundError):  # of an extra that is not installed
                operator.attrgetter(".".join((first, *others)))(lowbit)


def test_the_api_page_documents_every_name_and_package():
    page = (paths.SOURCE / "book" / "api.md").read_text()
    assert [name for name in lowbit.__all__ if not re.search(rf"lowbit\.{name}\b", page)] == []


def test_the_import_loads_neither_torch_nor_matplotlib():
    code = "import sys, lowbit; sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
