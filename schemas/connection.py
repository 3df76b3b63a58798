"""Opens a lake's DuckDB file for one moment, waiting for whoever holds it, and says who that is.

DuckDB lets one process write or many read. So nobody keeps the file open: each query and each commit opens it, and
waits while another process has it. A second file, `lake.turn`, keeps the order fair: whoever opens the database takes
the turn first, and a writer keeps it while it waits, so that readers in a loop cannot starve it.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
}
if hasattr(os, "sched_getaffinity"):  # DuckDB itself would take every core of the machine, allowed or not
    CONFIG["threads"] = len(os.sched_getaffinity(0))

_in_this_process: dict[Path, threading.Lock] = {}
_registry = threading.Lock()


@contextmanager
def connection(file: Path, *, read_only: bool, wait: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open `file` as soon as nobody else holds it and close it at the end of the block.

    Raises:
        LakeBusy: another process held it for longer than `wait` seconds; the text names the process.
        DataError: the file is not a DuckDB database.
        OutsideError: the operating system refuses (rights, full disk).
    """
    deadline = time.monotonic() + wait
    own = _own_lock(file)
    if not own.acquire(timeout=wait):
        raise LakeBusy(f"{file} is held by another thread of this process; waited {wait:g} s")
    try:
        opened = _open(file, read_only=read_only, wait=wait, deadline=deadline)
        try:
            opened.execute("SET TimeZone = 'UTC'")
            yield opened
        finally:
            opened.close()
    finally:
        own.release()


def _own_lock(file: Path) -> threading.Lock:
    """DuckDB shares one instance a file inside a process, so readers and writers of one process take turns too."""
    with _registry:
        return _in_this_process.setdefault(file.resolve(), threading.Lock())


def _open(file: Path, *, read_only: bool, wait: float, deadline: float) -> duckdb.DuckDBPyConnection:
    with _turn(file, wait=wait, deadline=deadline):
        while True:
            try:
                return duckdb.connect(str(file), read_only=read_only, config=CONFIG)
            except duckdb.ConnectionException as error:
                raise LakeBusy(
                    f"this process itself holds {file} open with duckdb.connect; close that connection first"
                ) from error
            except duckdb.IOException as error:
                if not LOCK_HELD.search(str(error)):
                    raise explained(error, file) from error
                if time.monotonic() > deadline:
                    raise LakeBusy(f"{file} is held by {_holder(error)}; waited {wait:g} s") from error
                time.sleep(POLL_SECONDS)


@contextmanager
def _turn(file: Path, *, wait: float, deadline: float) -> Iterator[None]:
    """Queue up for the moment of opening; where the folder cannot be written, there is no queue."""
    if not os.access(file.parent, os.W_OK):
        yield
        return
    turn = FileLock(str(file.with_name("lake.turn")), poll_interval=POLL_SECONDS)
    try:
        turn.acquire(timeout=max(0.0, deadline - time.monotonic()))
    except Timeout as error:
        raise LakeBusy(f"{file} is held by a process that others are already waiting for; waited {wait:g} s") from error
    except OSError as error:
        raise OutsideError(f"{turn.lock_file}: {error.strerror}") from error
    try:
        yield
    finally:
        turn.release()


def rows(opened: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object]) -> pl.DataFrame:
    """Run a query, `$name` standing for a parameter, and return its rows."""
    relation = opened.sql(query, params=parameters or None)
    frame: pl.DataFrame = relation.pl() if relation is not None else pl.DataFrame()
    return frame.with_columns(_whole_numbers(frame))


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
    if "not a valid DuckDB database" in text:
        return DataError(f"{file} is not a DuckDB database, so {file.parent} is no lake")
    if isinstance(error, duckdb.FatalException | duckdb.SerializationException | duckdb.InternalException):
        return DataError(f"{file} is damaged: {text}")
    if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
        return OutsideError(f"{file}: {text}")
    return UsageError(text)


def one_line(error: duckdb.Error) -> str:
    """The message with its caret drawing cut off and its lines joined."""
    text = re.split(r"\n\s*(?:LINE \d+:|See also)|\. See also", str(error))[0]
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())
