"""Keeps a hub's answers as they came, in Parquet files, before anything is made of them."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from miners.batch import TIME
from miners.http import Answer
from schemas.errors import OutsideError
from schemas.files import written_whole

FAST = 1  # level of zstd: pages shrink to an eighth all the same, in a third of the time


def keep(folder: Path, name: str, answers: Sequence[Answer]) -> Path:
    """Write answers to `folder`/`name`.parquet, whole or not at all: columns url, status, fetched_at (UTC), body.

    Raises OutsideError if the disk is full or the folder cannot be written.
    """
    frame = pl.DataFrame(
        {
            "url": pl.Series([answer.url for answer in answers], dtype=pl.String()),
            "status": pl.Series([answer.status for answer in answers], dtype=pl.Int32()),
            "fetched_at": pl.Series([answer.fetched_at for answer in answers], dtype=TIME),
            "body": pl.Series([answer.body for answer in answers], dtype=pl.Binary()),
        }
    )
    place = folder / f"{name}.parquet"
    with written_whole(place) as beside:
        try:
            frame.write_parquet(beside, compression="zstd", compression_level=FAST, statistics=False)
        except pl.exceptions.PolarsError as error:  # polars reports what the disk refuses as an error of its own
            raise OutsideError(f"cannot write {place}: {' '.join(str(error).split())}") from error
    return place
