"""Reads tables that come with zoos: comma-separated, gzipped or not, lines of JSON, or Parquet."""

import gzip
import io
import json
import zlib
from pathlib import Path

import polars as pl

from schemas import DataError
from zoo.exchange.fields import MISSING
from zoo.exchange.foreign import inside

LARGEST = 2**31
"""Bytes of a table, unpacked."""
MOST_ROWS = 20_000_000
PIECE = 2**20
ENDINGS = (".csv", ".csv.gz", ".jsonl", ".parquet")


def read_table(root: Path, path: Path, most: int = LARGEST) -> pl.DataFrame:
    """Read a table below a folder.

    Args:
        root: The folder.
        path: The file; its ending says what it is.
        most: Bytes that it may have, unpacked.

    Raises:
        DataError: It leads out of the folder, is damaged, too large, or not what its ending says.
    """
    inside(root, path)
    try:
        frame = _read(path, most)
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} is no table that can be read: {first}") from error
    if frame.height > MOST_ROWS:
        raise DataError(f"{path} has {frame.height:,} rows; expected at most {MOST_ROWS:,}")
    return frame


def _read(path: Path, most: int) -> pl.DataFrame:
    if path.name.endswith(".parquet"):
        scan = pl.scan_parquet(path, glob=False)
        if scan.select(pl.len()).collect().item() > MOST_ROWS:
            raise DataError(f"{path} has more than {MOST_ROWS:,} rows")
        return scan.collect()
    content = _content(path, most)
    if path.name.endswith(".jsonl"):
        return _read_lines(content)
    frame = pl.read_csv(io.BytesIO(content), infer_schema_length=None)
    return frame.with_columns(_numbers(column) for column in frame.iter_columns() if column.dtype == pl.String)


def _read_lines(content: bytes) -> pl.DataFrame:
    """Lines of JSON; with Python's own reader where they have NaN or Infinity, which it writes and JSON has not."""
    if b"NaN" in content or b"Infinity" in content:
        return pl.from_dicts([json.loads(line) for line in content.splitlines()], infer_schema_length=None)
    return pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)


def _numbers(column: pl.Series) -> pl.Series:
    """A column of texts as numbers, where each is one, nan or inf, or says that there is none; others as they are."""
    words = column.str.strip_chars().str.to_lowercase()
    said = words.set(words.is_in(MISSING), None)
    for kind in (pl.Int64(), pl.Float64()):
        numbers = said.cast(kind, strict=False)
        if said.null_count() == numbers.null_count() < len(said):
            return numbers
    return column


def _content(path: Path, most: int) -> bytes:
    """A file's bytes, unpacked; one that grows beyond what it may have is given up at once."""
    pieces, size = [], 0
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > most:
                raise DataError(f"{path} has more than {most:,} bytes, which is more than it may have")
            pieces.append(piece)
    return b"".join(pieces)
