"""Notebooks and examples as they are committed. `make test-notebooks` executes them (run_notebooks.py)."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ALLOWED = {"interp", "pathlib"}
LINES, BYTES = 20, 400_000
WORDS = 130
"""Words of a text between two cells, at most."""
FIGURE = re.compile(r"\b(dots|curves|figure)\(.*\)\Z|^report\Z")
"""The last line of a cell that shows a figure or a dashboard."""


def cells_of(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def data_of(path: Path) -> list[dict[str, Any]]:
    """What each output of a notebook holds, by its type."""
    return [output.get("data", {}) for cell in cells_of(path, "code") for output in cell["outputs"]]


each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def test_there_are_seven_notebooks_and_three_examples():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{number}-" for number in range(1, 8)]
    assert len(EXAMPLES) == 3


# --- notebooks -------------------------------------------------------------------------------------------------------


@each_notebook
def test_a_code_cell_fits_a_screen(path):
    long = [source_of(cell) for cell in cells_of(path, "code") if len(source_of(cell).splitlines()) > LINES]
    assert long == []


@each_notebook
def test_a_notebook_imports_the_package_alone(path):
    nodes = [node for cell in cells_of(path, "code") for node in ast.walk(ast.parse(source_of(cell)))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert "interp" in names and {name.split(".")[0] for name in names} <= ALLOWED


@each_notebook
def test_the_first_cell_has_the_size(path):
    first = cells_of(path, "code")[0]
    assert first["metadata"]["tags"] == ["parameters"]
    assert source_of(first).startswith("TINY = False  #")


@each_notebook
def test_the_texts_between_cells_are_short(path):
    texts = [source_of(cell) for cell in cells_of(path, "markdown")]
    assert texts[0].startswith(f"# {path.name[0]}. ")
    assert [text for text in texts if len(text.split()) > WORDS] == []


@each_notebook
def test_the_links_of_a_notebook_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)", "".join(source_of(cell) for cell in cells_of(path, "markdown")))
    assert any("docs/" in link for link in links)
    assert [link for link in links if not (path.parent / link).exists()] == []


@each_notebook
def test_everything_is_written_below_runs_notebooks(path):
    source = "".join(source_of(cell) for cell in cells_of(path, "code"))
    assert 'place = Path("../runs/notebooks' in source
    written = re.findall(r"(?:out=|\.save\(|write_text\()\s*([^,)]*)", source)
    assert [target for target in written if not target.startswith(("place", '"\\n".join'))] == []


@each_notebook
def test_outputs_are_there_in_order_and_without_an_error(path):
    code = cells_of(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert "error" not in {output["output_type"] for cell in code for output in cell["outputs"]}
    text = "".join(str(output) for cell in code for output in cell["outputs"])
    assert "Traceback" not in text and any(cell["outputs"] for cell in code)


@each_notebook
def test_a_notebook_is_small_and_reads_without_scripts_or_this_machine(path):
    text = path.read_text()
    assert len(text.encode()) < BYTES
    assert not re.search(r"<script|<iframe|<style|vnd\.plotly|vnd\.jupyter\.widget|widgets", text)
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|usr|Users)/|\w:\\\\Users", text)


@each_notebook
def test_every_figure_is_an_image(path):
    shows = [cell for cell in cells_of(path, "code") if FIGURE.search(source_of(cell).splitlines()[-1])]
    assert shows, "every notebook has a figure"
    for cell in shows:
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"]), source_of(cell)


@each_notebook
def test_tables_show_as_tables(path):
    tables = [data["text/html"] for data in data_of(path) if "text/html" in data]
    assert tables and all("<table" in "".join(table) for table in tables)


# --- examples --------------------------------------------------------------------------------------------------------


@each_example
def test_an_example_is_short_and_says_how_to_call_it(path):
    text = path.read_text()
    assert len(text.splitlines()) < 60
    assert f"python examples/{path.name} " in (ast.get_docstring(ast.parse(text)) or "")
