"""The front door for populations that go to other people's tools, in their formats."""

from pathlib import Path

import polars as pl

from schemas import Lake, OutsideError, UsageError
from zoo.exchange.companion import write_companion
from zoo.exchange.formats import FORMATS
from zoo.exchange.outgoing import Outgoing
from zoo.mistakes import expected_one_of
from zoo.publishing.chosen import choose


def export_population(lake: Lake, what: str, to: str | Path, *, format: str) -> pl.DataFrame:
    """Write a population as a zoo in another tool's format, which that tool reads.

    Rows of the lake for which the format has no place go beside it, so that `import_population` gives back what went
    out: weights bit for bit, members, curves, what they start from.

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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = FORMATS[format].write(outgoing, folder)
    except OSError as error:
        raise OutsideError(f"cannot write {folder}: {error.strerror or error}") from error
    write_companion(folder, outgoing.described(names), outgoing.companion_tables())
    return pl.DataFrame(
        {
            "format": [format],
            "folder": [str(folder)],
            "members": [len(outgoing.ids)],
            "checkpoints": [outgoing.checkpoints.height],
        }
    )
