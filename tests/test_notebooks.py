"""Every notebook runs from nothing, offline, and its stored outputs are those of a run."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from docs.notebooks import executed, notebooks
from tests.test_readme import CloseFigures

NOTEBOOKS = notebooks()
MOST_BYTES = 200_000
"""Of a picture, or of another output."""
PLACES = re.compile(r"/tmp/|/home/|/root/|/Users/|site-packages|0x[0-9a-f]{6}|\d{4}-\d\d-\d\d[ T]\d\d:\d\d")


def test_there_are_notebooks_in_order() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"0{number}_" for number in range(1, 7)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_needs_the_installed_packages_and_no_checkout(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call] # nbformat has no types here
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    names = [
        name
        for node in ast.walk(ast.parse(code))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    assert names
    assert not {name.partition(".")[0] for name in names} & {"tests", "docs", "benchmarks", "notebooks"}
    assert "../" not in code


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# jupyter_client and zmq warn about each other's event loops and about ports; none of it is ours
@pytest.mark.filterwarnings("default")
def test_a_notebook_runs_and_shows_what_it_showed(path: Path, tmp_path: Path) -> None:
    stored = outputs(nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call] # nbformat has no types here
    again = outputs(executed(path, tmp_path))
    assert len(again) == len(stored)
    for mine, theirs in zip(stored, again, strict=True):
        assert CloseFigures().check_output(str(mine), str(theirs), 0), f"{theirs} instead of {mine}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_small_and_of_no_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types here
    pictures = 0
    for cell in notebook.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            for kind, content in output.get("data", {"text": output.get("text")}).items():
                assert len(content) < MOST_BYTES
                assert not (found := PLACES.search(content)), found
                pictures += kind == "image/svg+xml"
    assert pictures == 1


def outputs(notebook: nbformat.NotebookNode) -> list[list[tuple[str, ...]]]:
    return [[shown(output) for output in cell.get("outputs", [])] for cell in notebook.cells]


def shown(output: nbformat.NotebookNode) -> tuple[str, ...]:
    """What an output is, and its text; of a picture only that it is one."""
    assert output.output_type != "error"
    if output.output_type == "stream":
        return (output.output_type, output.name, output.text)
    data = output.get("data", {})
    return (output.output_type, *sorted(data), "" if "image/svg+xml" in data else data.get("text/plain", ""))
