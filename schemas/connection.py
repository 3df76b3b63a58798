"""Opens a lake's DuckDB file for one moment, waiting for whoever holds it, and says who that is.

DuckDB lets one process write or many read. So nobody keeps the file open: each query and each commit opens it, and
waits while another process has it. A second file, `lake.turn`, keeps the order fair: whoever opens the database takes
the turn first, and a writer keeps it while it waits, so that readers in a loop cannot starve it.
"""

import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
from filelock import FileLock, Timeout

from schemas.errors import DataError, LakeBusy, OutsideError, UsageError

POLL_SECONDS = 0.01
LOCK_HELD = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,  # a query never reaches for the internet
    "python_enable_replacements": False,  # a query sees tables, not the caller's variables
    "dynamic_or_filter_threshold": 2048,  # rows that a join looks up in an index; DuckDB's own 50 end with a family
}
if hasattr(os, "sched_getaffinity"):  # DuckDB itself would take every core of the machine, allowed or not
    CONFIG["threads"] = len(os.sched_getaffinity(0))


@dataclass
class _Turn:
    """Whose turn it is within this process: DuckDB shares one instance a file inside a process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    holder: int | None = None


_in_this_process: defaultdict[Path, _Turn] = defaultdict(_Turn)


@contextmanager
def connection(file: Path, *, read_only: bool, wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open `file` as soon as nobody else holds it and close it at the end of the block.

    Raises:
        LakeBusy: another process held it for longer than `wait` seconds; the text names the process.
        UsageError: this very thread holds it, inside `Lake.write`.
        DataError: the file is not a DuckDB database, or damaged.
        OutsideError: the operating system refuses (rights, full disk).
    """
    deadline = time.monotonic() + wait
    with _own_turn(file, wait):
        opened = _open(file, read_only=read_only, wait=wait, deadline=deadline)
        try:
            opened.execute("SET TimeZone = 'UTC'")
            yield opened
        finally:
            opened.close()


@contextmanager
def _own_turn(file: Path, wait: float) -> Iterator[None]:
    """Readers and writers of one process take turns too."""
    turn = _in_this_process[file.resolve()]
    if turn.holder == threading.get_ident():
        raise UsageError("inside `with lake.write() as transaction` ask the transaction: transaction.sql(...)")
    if not turn.lock.acquire(timeout=wait):
        raise LakeBusy(f"{file} is held by another thread of this process; waited {wait:g} s")
    turn.holder = threading.get_ident()
    try:
        yield
    finally:
        turn.holder = None
        turn.lock.release()


def _open(file: Path, *, read_only: bool, wait: float, deadline: float) -> duckdb.DuckDBPyConnection:
    with _turn(file, deadline):
        while True:
            try:
                return duckdb.connect(str(file), read_only=read_only, config=CONFIG)
            except duckdb.ConnectionException as error:
                raise LakeBusy(
                    f"this process itself holds {file} open with duckdb.connect; close that connection first"
                ) from error
            except duckdb.Error as error:
                if not LOCK_HELD.search(str(error)):
                    raise _unopened(error, file) from error
                if time.monotonic() > deadline:
                    raise LakeBusy(f"{file} is held by {_holder(error)}; waited {wait:g} s") from error
                time.sleep(POLL_SECONDS)


def _unopened(error: duckdb.Error, file: Path) -> DataError | OutsideError | UsageError:
    """Why a file that nobody holds cannot be opened: the system refuses, or it is no database of ours."""
    refused = isinstance(error, duckdb.IOException) and "database file" not in str(error)
    if refused or "o space left" in str(error):
        return explained(error, file)
    return DataError(
        f"{file} is not a DuckDB database or damaged, so {file.parent} is no lake: {one_line(error)[:200]}"
    )


@contextmanager
def _turn(file: Path, deadline: float) -> Iterator[None]:
    """Queue up for the moment of opening; where the folder cannot be written, there is no queue.

    Whose turn does not come within the waiting time tries once all the same: a reader may share the file with other
    readers, and DuckDB says who holds it if not.
    """
    turn = FileLock(str(file.with_name("lake.turn")), poll_interval=POLL_SECONDS)
    try:
        if os.access(file.parent, os.W_OK):
            turn.acquire(timeout=max(0.0, deadline - time.monotonic()))
    except Timeout:
        pass
    except OSError as error:
        raise OutsideError(f"{turn.lock_file}: {error.strerror}") from error
    try:
        yield
    finally:
        turn.release()


def rows(opened: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]) -> pl.DataFrame:
    """Run a query, `$name` standing for a parameter, and return its rows."""
    if not query.strip():
        raise UsageError("the query is empty; try: SELECT * FROM models LIMIT 10")
    with matched(query, parameters):
        relation = opened.sql(query, params=parameters or None)
    try:
        frame: pl.DataFrame = relation.pl() if relation is not None else pl.DataFrame()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise UsageError(f"a value has no place in a DataFrame, cast its column (column::VARCHAR): {error}") from error
    return frame.with_columns(_whole_numbers(frame))


@contextmanager
def matched(query: str, parameters: Mapping[str, object]) -> Iterator[None]:
    """Say which parameter a query lacks, or has no place for, where DuckDB counts them."""
    try:
        yield
    except duckdb.Error as error:
        if "argument count mismatch" in str(error):
            extra = min(set(parameters) - set(re.findall(r"\$(\w+)", query)), default="a value")
            raise UsageError(
                f"{extra} is given and the query has no ${extra}: write it there, or leave it out"
            ) from error
        if found := re.search(r"Values were not provided for the following parameters: (.+)", str(error)):
            raise UsageError(f"the query has ${found[1]} in it, and no value is given for it") from error
        raise


def _whole_numbers(frame: pl.DataFrame) -> list[pl.Series]:
    """Columns of 128-bit integers, which every sum() is, as 64-bit ones where they fit; decimals puzzle everybody."""
    huge = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Decimal) and kind.scale == 0]
    narrow = [frame[name].cast(pl.Int64, strict=False) for name in huge]
    return [column for column in narrow if column.null_count() == frame[column.name].null_count()]


def _holder(error: duckdb.Error) -> str:
    found = LOCK_HELD.search(str(error))
    assert found, "called for a held lock only"  # noqa: S101 - states what the caller has just checked
    pid = found["pid"]
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
        command = " ".join(words)
    except OSError:
        command = found["program"]
    return f"process {pid} ({command[:120]})"


def explained(error: duckdb.Error, file: Path) -> DataError | OutsideError | UsageError:
    """DuckDB's error as one of ours, in one line."""
    text = one_line(error)
    if "No space left" in text or "no space left" in text:
        return OutsideError(f"the disk of {file.parent} is full; nothing of the last write was kept")
    if isinstance(error, duckdb.FatalException | duckdb.SerializationException | duckdb.InternalException):
        return DataError(f"{file} is damaged: {text}")
    if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
        return OutsideError(f"{file}: {text}")
    return UsageError(text)


def one_line(error: duckdb.Error) -> str:
    """The message with its caret drawing cut off and its lines joined."""
    text = re.split(r"\n\s*(?:LINE \d+:|See also)|\. See also", str(error))[0]
    return "; ".join(line.strip().rstrip("!") for line in text.splitlines() if line.strip())
