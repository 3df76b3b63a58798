"""The lake: a folder with one DuckDB file for everything asked in SQL, and folders for weights and raw answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import duckdb
import polars as pl

from schemas import migrate
from schemas.connection import connection, explained, rows
from schemas.errors import DataError, OutsideError, UsageError
from schemas.reading import Reading
from schemas.transaction import Transaction

if TYPE_CHECKING:
    from schemas.weights import WeightStore

DATABASE = "lake.duckdb"
WAIT_SECONDS = 30.0
OWN_NAMES = {DATABASE, f"{DATABASE}.wal", "lake.turn", "weights", "raw"}  # what a lake that is being made may hold


def open_lake(path: str | Path, read_only: bool = False, wait: float = WAIT_SECONDS, *, create: bool = True) -> "Lake":
    """Open the lake in folder `path`; create it if the folder is new or empty, upgrade it if it is older.

    With `read_only`, or without `create`, none is created.

    Nothing stays open between calls, so several processes can use one lake; each waits up to `wait` seconds for the
    others. The lake is a context manager for the sake of its readers' eyes: leaving the block closes nothing.

    Raises:
        UsageError: `path` is a file, a folder with other things in it, absent and not to be created, or a lake
            of a newer version.
        DataError: its lake.duckdb is no database, or another program's.
        LakeBusy: another process held it for longer than `wait` seconds.
        OutsideError: the folder cannot be written.
    """
    folder = Path(path)
    _check_place(folder, create and not read_only)
    lake = Lake(folder, read_only, wait)
    lake.upgrade()
    return lake


def lake_to_be(path: str | Path, wait: float = WAIT_SECONDS) -> "Lake":
    """A lake that work which may yet be refused is for: as `open_lake`, but one that is new is made by `Lake.upgrade`.

    Raises:
        As `open_lake`.
    """
    folder = Path(path)
    _check_place(folder, create=True)
    lake = Lake(folder, read_only=False, wait=wait)
    if lake.database.exists():
        lake.upgrade()
    return lake


def _check_place(folder: Path, create: bool) -> None:
    try:
        if folder.is_file():
            raise UsageError(f"{folder} is a file; a lake is a folder")
        if (folder / DATABASE).exists():
            return
        foreign = folder.is_dir() and any(path.name not in OWN_NAMES for path in folder.iterdir())
        if foreign or not create:
            other = f"has other things in it and no {DATABASE}"
            state = other if foreign else "does not exist" if not folder.exists() else "is empty"
            way = (
                "name the folder of a lake; mining or building makes one"
                if not create
                else "name a lake or a new folder"
            )
            raise UsageError(f"{folder} is no lake: it {state}; {way}")
    except ValueError as error:
        raise UsageError(f"{str(folder)!r} is no name of a folder: {error}") from error
    except OSError as error:
        raise OutsideError(f"cannot look into the folder {folder}: {error.strerror}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        raise UsageError(f"{str(folder)!r} is no name of a folder: {error}") from error
    except OSError as error:
        raise OutsideError(f"cannot make the folder {folder}: {error.strerror}") from error


def check_lake(lake: object) -> None:
    """Raise UsageError unless this is an opened lake, as where its folder is given instead."""
    if not isinstance(lake, Lake):
        given = repr(str(lake)) if isinstance(lake, str | Path) else f"a {type(lake).__name__}"
        opened = given if isinstance(lake, str | Path) else "'./lake'"
        raise UsageError(f"{given} is no opened lake; expected open_lake({opened}), which comes from schemas")


class Lake:
    """An opened lake. `path` is its folder, `weights` its weight store, `raw` the folder of hubs' raw answers."""

    def __init__(self, path: Path, read_only: bool, wait: float) -> None:
        self.path = path
        self.read_only = read_only
        self.wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __repr__(self) -> str:
        return f"Lake({str(self.path)!r})"

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.path / DATABASE

    @property
    def raw(self) -> Path:
        """Folder of the hubs' answers as they came."""
        return self.path / "raw"

    @cached_property
    def weights(self) -> "WeightStore":
        """The stacked safetensors shards of this lake."""
        from schemas.weights import WeightStore  # here, because importing torch takes seconds and SQL needs none of it

        return WeightStore(self.path / "weights")

    def sql(self, query: str, /, **parameters: object) -> pl.DataFrame:
        """Run a query that only reads and return its rows as a polars DataFrame.

        `$name` in the query stands for the parameter `name`, e.g. ``lake.sql("... WHERE width = $width", width=8)``.

        Raises:
            UsageError: DuckDB refuses the query, or it would change the lake (that is what `write` is for).
            LakeBusy: another process held the lake for longer than its waiting time.
        """
        with self._explaining(), connection(self.database, read_only=True, wait=self.wait) as opened:
            try:
                return rows(opened, query, parameters)
            except duckdb.InvalidInputException as error:
                if "read-only" in str(error):
                    raise UsageError(
                        "a query only reads; change a lake in Python, inside `with lake.write()`"
                    ) from error
                raise

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """One moment: every question of the block sees the same rows, and whoever wants to write waits for its end.

        Raises:
            LakeBusy: another process held the lake for longer than its waiting time.
            UsageError: DuckDB refuses a query.
            OutsideError: a result that is written fills the disk.
        """
        with self._explaining(), connection(self.database, read_only=True, wait=self.wait) as opened:
            yield Reading(opened)

    @contextmanager
    def write(self, wait: float | None = None) -> Iterator[Transaction]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Raises:
            LakeBusy: another process held the lake for longer than `wait` seconds (default: the lake's).
            UsageError: the lake was opened read-only, or DuckDB refuses a statement.
            OutsideError: the disk is full or cannot be written.
        """
        if self.read_only:
            raise UsageError(f"{self.path} was opened with read_only=True; open it without to write")
        patience = self.wait if wait is None else wait
        with self._explaining(), connection(self.database, read_only=False, wait=patience) as opened:
            opened.begin()
            yield Transaction(opened)
            opened.commit()

    def upgrade(self) -> None:
        """Bring the tables up to this version, or make them; a lake that is up to date is only looked at."""
        newest = max(migrate.migrations())
        if self.database.exists():
            found = self._version()
            if found == newest:
                return
            if self.read_only:
                raise UsageError(f"{self.path} has schema {found} of {newest}: open it once without read_only=True")
        _make(self.path)
        with self._explaining(), connection(self.database, read_only=False, wait=self.wait) as opened:
            migrate.migrate(opened)

    def _version(self) -> int:
        with self._explaining(), connection(self.database, read_only=True, wait=self.wait) as opened:
            try:
                found = migrate.version(opened)
            except DataError as error:
                raise DataError(f"{self.path} is no lake: {error}") from error
        migrate.check_not_newer(found)
        return found

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """DuckDB's errors as ours."""
        try:
            yield
        except duckdb.Error as error:
            raise explained(error, self.database) from error
        except RuntimeError as error:
            if "interrupted" in str(error):  # how DuckDB says that the user pressed Ctrl-C in a query
                raise KeyboardInterrupt from error
            raise
