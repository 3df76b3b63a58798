"""Runs the notebooks, each in an empty folder and without internet, and stores what they show.

python docs/notebooks.py          run all of them
python docs/notebooks.py 02 04    only those whose names begin so
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
SECONDS = 120
"""What a cell may take."""
OFFLINE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
"""Nobody answers there, so that only hubs on this machine can be reached."""
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
QUIET = ["--log-level=ERROR"]  # over TCP kernels warn of eavesdroppers


def notebooks() -> list[Path]:
    """Give the notebooks in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder and give it with what it shows now, without times and numbers of runs.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell has failed.
    """
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # nbformat has no types here
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=SECONDS, record_timing=False, resources=place, extra_arguments=QUIET)
    asyncio.run(client.async_execute(env={**os.environ, **OFFLINE, **ONE_THREAD}))
    count = 0
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main(wanted: list[str]) -> int:
    """Run the notebooks whose names begin as wanted, or all, and write them; 1 if there are none."""
    chosen = [path for path in notebooks() if not wanted or path.name.startswith(tuple(wanted))]
    for path in chosen:
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call] # nbformat has no types here
        print(f"{path.name}: {path.stat().st_size / 1e3:,.0f} kB")
    return 0 if chosen else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
