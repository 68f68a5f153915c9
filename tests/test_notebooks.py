import ast
import dataclasses

import nbformat
import pytest

from lowbit import paths
from lowbit.plots.templates import TEMPLATES

FILES = sorted(paths.notebooks().glob("*.ipynb"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def file(request):
    return request.param


@pytest.fixture
def notebook(file):
    return nbformat.read(file, as_version=4)


@pytest.fixture
def defaults(file):
    return {field.name: field.default for field in dataclasses.fields(TEMPLATES[file.stem].spec)}


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_template_has_its_notebook():
    assert {path.stem for path in FILES} == set(TEMPLATES)


def test_parameters_are_the_fields_of_a_spec_with_its_defaults(notebook, defaults):
    (parameters,) = (cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", []))
    assert parameters is code(notebook)[0]
    told = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(parameters.source).body}
    assert list(told.items()) == list(defaults.items())


def test_the_first_cell_is_a_heading_with_parameters(notebook, defaults):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    heading = first.source.format(**defaults)
    assert heading.startswith("# ")
    assert "{" not in heading


def test_no_outputs_and_no_counts_are_kept(notebook):
    assert all(not cell.outputs and cell.execution_count is None for cell in code(notebook))


def test_cells_are_short_and_define_nothing(notebook):
    for cell in code(notebook):
        assert len(cell.source.splitlines()) <= 12
        assert not any(
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For) for node in ast.walk(ast.parse(cell.source))
        )


def test_every_figure_has_a_name_and_a_caption(notebook):
    for cell in code(notebook):
        if cell.source.endswith(";"):
            figure = cell.metadata["mystnb"]["figure"]
            assert figure["name"]
            assert figure["caption"].endswith(".")
