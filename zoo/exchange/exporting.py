"""The front door for populations that go to other people's tools, in their formats."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from schemas import Lake, OutsideError, UsageError
from schemas.files import UNFINISHED
from zoo.exchange.companion import write_companion
from zoo.exchange.formats import FORMATS
from zoo.exchange.outgoing import Outgoing
from zoo.mistakes import expected_one_of
from zoo.publishing.chosen import choose


@contextmanager
def _written_beside(folder: Path) -> Iterator[Path]:
    """A folder whose content goes into this one when it is whole; of a refused or broken off export nothing stays."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    beside = folder.absolute().with_name(f".{folder.name}.{os.getpid()}{UNFINISHED}")
    try:
        beside.mkdir(parents=True)
        yield beside
        folder.mkdir(exist_ok=True)
        for path in sorted(beside.iterdir()):
            path.replace(folder / path.name)
    except OSError as error:
        raise OutsideError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        for each in made:
            with suppress(OSError):  # one that holds something stays
                each.rmdir()


def export_population(lake: Lake, what: str, to: str | Path, *, format: str) -> pl.DataFrame:
    """Write a population as a zoo in another tool's format, which that tool reads.

    Rows of the lake for which the format has no place go beside it, so that `import_population` gives back what went
    out: weights bit for bit, members, curves, what they start from. Where a dataset of one's own lies (`npz:`,
    `folder:`) stays behind: name it again (`dataset=`) when what comes back is to be measured.

    Args:
        lake: Where it lies.
        what: Name or population_id of a population, or a query that returns `model_id` (and `epoch`, where not all
            checkpoints are meant) of members of one population.
        to: A folder that is new or empty.
        format: `ray-tune`, `small-cnn-zoo` or `state-dicts`.

    Returns:
        A row: the format, the folder, members, checkpoints.

    Raises:
        UsageError: There is no such population or format, the folder has things in it, models are of several
            populations, or the format cannot hold them.
        DataError: Weights of the lake are missing or damaged.
        OutsideError: The disk is full or cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r}: {expected_one_of(format, FORMATS)}")
    folder = Path(to)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; name a folder that is new or empty")
    outgoing = Outgoing(lake, choose(lake, what))
    with _written_beside(folder) as beside:
        names = FORMATS[format].write(outgoing, beside)
        write_companion(beside, outgoing.described(names), outgoing.companion_tables())
    return pl.DataFrame(
        {
            "format": [format],
            "folder": [str(folder)],
            "members": [len(outgoing.ids)],
            "checkpoints": [outgoing.checkpoints.height],
        }
    )
