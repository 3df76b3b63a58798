"""Opens a snapshot's file for DuckDB: its records in one shape, and those apart that the page path has to read.

The file is read once, into a Parquet file of the shape that lies beside the raw answers meanwhile. Of a snapshot that
is Parquet itself, the paths of the models' files, half of all there is, are read where they are.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from glob import escape
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

import duckdb
import pyarrow  # type: ignore[import-untyped]  # ships no types

from miners.pages import records
from miners.records import Listed
from miners.snapshot_files import PARQUET
from miners.snapshot_layouts import READERS, Layout, fields, layout
from miners.snapshot_lists import as_lines
from miners.snapshot_shape import shape
from schemas.connection import CONFIG, one_line
from schemas.errors import DataError, OutsideError

MEMORY = "1GB"  # of DuckDB; its buffers, Arrow and Python come on top
LONGEST_LINE = 32 * 2**20  # bytes; DuckDB takes a few buffers of twice this size
SAMPLE = 1000  # lines that tell which fields JSON lines have
ROW_GROUP = 40_000
SPACE = b" \t\r\n"  # of JSON
ROW = "file_row_number"
TOGETHER = 10_000  # records that are read apart at once
MOST_TIMES = 1000  # of observation in one file


class Part(NamedTuple):
    """The records of one time (None if the file does not say which): their number, and those that stand apart.

    `unfit` are the places of those that the page path has to read, `stale` of those that a later one of the same name
    replaces.
    """

    observed_at: datetime | None
    rows: int
    unfit: list[int]
    stale: list[int]


class Shaped(NamedTuple):
    """A snapshot in its one shape: its layout, the query that gives it, the number of its rows, and its parts.

    `paths` is the query that gives the paths of each model's files, right for rows that fit. `stamp` tells whether the
    file is still what it was.
    """

    file: Path
    stamp: tuple[int, int, int]
    layout: Layout
    query: str
    paths: str
    rows: int
    parts: list[Part]

    def check_unchanged(self) -> None:
        """DataError if the file is another one by now, so that rows of both may have come."""
        with explaining(self.file):
            now = _stamp(self.file)
        if now != self.stamp:
            raise DataError(f"{self.file} was changed while it was read; nothing of it was stored, so mine it again")


class Reading(NamedTuple):
    """How a file is read: its layout, the query that is kept, and that of the paths (None: they are kept, too)."""

    layout: Layout
    kept: str
    paths: str | None


@contextmanager
def shaped(file: Path, beside: Path, use_times: bool) -> Iterator[Shaped]:
    """Open a file; `beside` is where a file of its shape may lie while the block runs.

    `use_times` says whether a column with times of observation counts.

    Raises:
        UsageError: it holds no model records.
        DataError: it is damaged.
        OutsideError: the disk is full, or the file cannot be read.
    """
    named, is_parquet = str(file), file.name.endswith(PARQUET)
    try:
        with explaining(named), _connection() as connection:
            file = file if is_parquet else as_lines(file, beside.with_suffix(".jsonl"))
            stamp = _stamp(file)
            read = (_parquet if is_parquet else _lines)(connection, file, use_times, named)
            query = _keep(connection, read, beside)
            connection.execute(f"CREATE TEMP VIEW shaped AS {query}")
            parts = _parts(connection)
        yield Shaped(file, stamp, read.layout, query, read.paths or query, sum(part.rows for part in parts), parts)
    finally:
        beside.unlink(missing_ok=True)
        beside.with_suffix(".jsonl").unlink(missing_ok=True)


def _stamp(file: Path) -> tuple[int, int, int]:
    """Give what tells whether a file is another one than before."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config=CONFIG) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@contextmanager
def explaining(file: Path | str) -> Iterator[None]:
    """Turn the errors of DuckDB, and of unpacking, about a file into ours."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise OutsideError(f"{file} cannot be read: {error.strerror}") from error
        raise DataError(f"{file} cannot be read as a snapshot: {error}") from error
    except duckdb.Error as error:
        text = one_line(error)[:300]
        if "o space left" in text:
            raise OutsideError(f"the disk is full; {file} was not read to its end") from error
        if isinstance(error, duckdb.IOException) and "ermission" in text:
            raise OutsideError(f"{file} cannot be read: {text}") from error
        raise DataError(f"{file} cannot be read as a snapshot: {text}") from error


def quoted(text: str) -> str:
    """Give a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _local(file: Path) -> str:
    """Give a file's path so that DuckDB takes it for nothing but this one file on this machine."""
    return quoted(escape(str(file.resolve())))


def _parquet(connection: duckdb.DuckDBPyConnection, file: Path, use_times: bool, named: str) -> Reading:
    source = f"read_parquet({_local(file)}, file_row_number = true, hive_partitioning = false)"
    described = connection.execute(f"DESCRIBE SELECT * EXCLUDE {ROW} FROM {source}").fetchall()  # noqa: S608
    known = layout({name: kind for name, kind, *_ in described}, named)
    time = known.time if use_times else None
    kept = f"SELECT * EXCLUDE paths FROM ({shape(known.columns, source, time, ROW)})"  # noqa: S608 - our names
    return Reading(known, kept, shape(known.columns, source, time, ROW, is_checked=True))


def _lines(connection: duckdb.DuckDBPyConnection, file: Path, use_times: bool, named: str) -> Reading:
    with opened_lines(file) as lines:
        sampled = records(b"[" + b",".join(islice(lines, SAMPLE)) + b"]")
    known = layout({key: "JSON" for record in sampled if isinstance(record, dict) for key in record}, named)
    time = known.time if use_times else None
    columns = {name: "JSON" for name in (*READERS, time) if name}
    options = f"format = 'newline_delimited', ignore_errors = true, maximum_object_size = {LONGEST_LINE}"
    return Reading(known, shape(columns, f"read_json({_local(file)}, {options}, columns = {columns})", time), None)


def _keep(connection: duckdb.DuckDBPyConnection, read: Reading, beside: Path) -> str:
    """Write the rows of a file into a Parquet file; give the query that reads them with their place.

    Every table's rows need them again, and making them is half of the work. A line's place is its row in the new file,
    which therefore keeps their order; DuckDB writes that with one thread.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    target = f"TO {quoted(str(beside))} (FORMAT parquet, COMPRESSION lz4, ROW_GROUP_SIZE {ROW_GROUP})"
    if read.paths is not None:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(f"COPY ({read.kept}) {target}")
        return f"SELECT * FROM read_parquet({_local(beside)})"  # noqa: S608 - our path
    connection.execute(f"COPY (SELECT * EXCLUDE place FROM ({read.kept})) {target}")  # noqa: S608 - our own query
    kept = f"read_parquet({_local(beside)}, file_row_number = true)"
    return f"SELECT * EXCLUDE {ROW}, {ROW} AS place FROM {kept}"  # noqa: S608 - our path


def _parts(connection: duckdb.DuckDBPyConnection) -> list[Part]:
    """Count the rows of each time, and find those that stand apart."""
    counts = connection.execute(f"{COUNTS} GROUP BY ALL ORDER BY ALL LIMIT {MOST_TIMES + 1}").fetchall()
    unfit = _places(connection, "FROM shaped WHERE fits IS DISTINCT FROM true")
    stale = _places(connection, STALE) if any(repeated for *_, repeated in counts) else {}
    return [Part(_moment(time), rows, unfit.get(time, []), stale.get(time, [])) for time, rows, _ in counts]


COUNTS = "SELECT epoch_us(observed_at) AS time, count(*), count(DISTINCT name) < count(name) FROM shaped"
STALE = """
    FROM (
        FROM shaped WHERE name IS NOT NULL QUALIFY place < max(place) OVER (PARTITION BY name, observed_at)
    )
"""


def _places(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[int | None, list[int]]:
    found = connection.execute(f"SELECT epoch_us(observed_at) AS time, list(place) {rows} GROUP BY ALL").fetchall()
    return dict(found)


def _moment(time: int | None) -> datetime | None:
    return None if time is None else datetime.fromtimestamp(time / 1e6, UTC)


@contextmanager
def opened_lines(file: Path) -> Iterator[Iterator[bytes]]:
    """Give the lines of a file of JSON lines that are not empty; DataError if one is longer than `LONGEST_LINE`."""
    with pyarrow.input_stream(str(file), compression="detect") as stream, io.BufferedReader(stream) as buffered:
        read = _lines_of(cast(io.BufferedReader, buffered), file)
        yield (stripped for line in read if (stripped := line.strip(SPACE)))


def _lines_of(stream: io.BufferedReader, file: Path) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise DataError(f"{file} has a line of more than {LONGEST_LINE} bytes, expected one record a line")
        yield line


def read_apart(found: Shaped, places: Sequence[int], source: str, at: datetime) -> Iterator[tuple[int, Listed]]:
    """Read the records at `places`, with their place, as the hub's API would have given them.

    Failures name them by `source` and place.

    Raises DataError if the file is not what it was when it was opened.
    """
    file, wanted = found.file, set(places)
    if file.name.endswith(PARQUET):
        read = _apart_of_parquet(file, found.layout, wanted)
    else:
        read = _apart_of_lines(file, found.rows, wanted)
    for place, text in read:
        for record in records(b"[" + text + b"]"):
            yield place, Listed(f"{source}#{place}", at, record)


def _apart_of_lines(file: Path, rows: int, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    place = -1
    with opened_lines(file) as lines:
        for place, line in enumerate(lines):
            if place in wanted:
                yield place, line
    if place + 1 != rows:
        raise DataError(f"{file} has {place + 1} records, and had {rows} before; was it changed meanwhile?")


def _apart_of_parquet(file: Path, known: Layout, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    has = fields(known.columns)
    members = ", ".join(f"'{name}': CAST({has[name].json} AS JSON)" for name in READERS if name in known.columns)
    source = f"read_parquet({_local(file)}, file_row_number = true, hive_partitioning = false)"
    rows = f"{source} SEMI JOIN wanted USING ({ROW})"
    query = f"SELECT {ROW}, to_json({{{members}}})::VARCHAR FROM {rows}"  # noqa: S608 - our own names
    with explaining(file), _connection() as connection:
        connection.register("wanted", pyarrow.table({ROW: sorted(wanted)}))
        found = connection.execute(query)
        while portion := found.fetchmany(TOGETHER):
            for place, text in portion:
                yield place, text.encode()
