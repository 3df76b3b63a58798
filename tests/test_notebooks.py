"""Every notebook runs from nothing, offline, and its stored outputs are those of a run."""

import asyncio
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT
from tests.test_readme import CloseFigures

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# jupyter_client and zmq warn about each other's event loops and about ports; none of it is ours
@pytest.mark.filterwarnings("default")
def test_a_notebook_runs_and_shows_what_it_showed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    notebook = nbformat.read(copy, as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types here
    stored = [[shown(output) for output in cell.get("outputs", [])] for cell in notebook.cells]
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    asyncio.run(client.async_execute())
    again = [[shown(output) for output in cell.get("outputs", [])] for cell in notebook.cells]
    assert len(again) == len(stored)
    for mine, theirs in zip(stored, again, strict=True):
        assert CloseFigures().check_output(str(mine), str(theirs), 0), f"{theirs} instead of {mine}"


def shown(output: nbformat.NotebookNode) -> tuple[str, ...]:
    """What an output is, and its text; of a picture only that it is one."""
    assert output.output_type != "error"
    data = output.get("data", {})
    return (output.output_type, *sorted(data), "" if "image/svg+xml" in data else data.get("text/plain", ""))
