"""One moment of a lake, for several questions that must see the same rows, and for results too large for memory."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from schemas.connection import rows
from schemas.errors import OutsideError
from schemas.files import UNFINISHED

PARQUET = "FORMAT parquet, COMPRESSION zstd"
GROUP = 100_000
"""Rows that lie together, a column after the other."""


class Reading:
    """An open connection that only reads; `Lake.read` makes it and closes it."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection

    def sql(self, query: str, /, **parameters: object) -> pl.DataFrame:
        """Run a query and return its rows; `$name` stands for a parameter."""
        return rows(self._connection, query, parameters)

    def register(self, name: str, frame: pl.DataFrame) -> None:
        """Let queries of this block see a frame as a table called `name`; it hides a table of the lake of that name."""
        self._connection.register(name, frame.to_arrow(compat_level=pl.CompatLevel.newest()))

    def hide(self, table: str, columns: dict[str, str]) -> None:
        """Let queries of this block see a table with other values in some columns: column name -> SQL expression.

        The lake's views see it so, too.
        """
        replaced = ", ".join(f'{value} AS "{name}"' for name, value in columns.items())
        catalog = self._connection.execute("SELECT current_database()").fetchall()[0][0]
        self._connection.execute(
            f'CREATE TEMP VIEW "{table}" AS SELECT * REPLACE ({replaced}) FROM "{catalog}".main."{table}"'  # noqa: S608 - our names
        )

    def write_parquet(
        self, query: str, folder: Path, name: str, largest: str = "1GB", group: int = GROUP, /, **parameters: object
    ) -> list[Path]:
        """Write a query's rows, without holding them in memory, as `folder/name-0.parquet`, `name-1` and so on.

        Rows keep the query's order and come out the same bytes each time. A query without rows leaves no file.

        Args:
            query: What is written.
            folder: It is made if it is not there; files of these names are replaced.
            name: What the files' names begin with.
            largest: About how large a file may get, as DuckDB writes sizes.
            group: Rows that are read together by those who need one of them; DuckDB makes a multiple of 2,048 of it.
            parameters: Values for `$name` in the query.

        Raises:
            OutsideError: The folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=UNFINISHED, dir=folder))
        except OSError as error:
            raise OutsideError(f"cannot write {folder}: {error.strerror or error}") from error
        try:
            self._connection.execute("SET threads = 1")  # several write their rows in another order each time
            target = str(beside / "all").replace("'", "''")
            options = f"{PARQUET}, ROW_GROUP_SIZE {group}, FILE_SIZE_BYTES '{largest}', FILENAME_PATTERN '{name}-{{i}}'"
            (count,) = self._connection.execute(f"COPY ({query}) TO '{target}' ({options})", parameters).fetchall()[0]
            found = sorted((beside / "all").iterdir(), key=lambda path: int(path.stem.rpartition("-")[2]))
            return [path.replace(folder / path.name) for path in found] if count else []
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            with suppress(OSError):  # it is not empty
                folder.rmdir()
