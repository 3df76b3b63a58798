"""Every notebook runs from nothing, offline, and its stored outputs are those of a run."""

import asyncio
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

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
    stored = [[kinds(output) for output in cell.get("outputs", [])] for cell in notebook.cells]
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    asyncio.run(client.async_execute())
    shown = [[kinds(output) for output in cell.get("outputs", [])] for cell in notebook.cells]
    assert shown == stored


def kinds(output: nbformat.NotebookNode) -> tuple[str, ...]:
    """What an output is, not its figures: those differ in the last digits from machine to machine."""
    assert output.output_type != "error"
    return (output.output_type, *sorted(output.get("data", {})))
