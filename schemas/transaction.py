"""One public write to a lake: all of it is kept, or nothing."""

import polars as pl
from duckdb import DuckDBPyConnection

from schemas.connection import rows

STAGED = "staged_frame"


class Transaction:
    """An open DuckDB transaction; `Lake.write` makes it and commits it."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Add the frame's rows to `table`, matched by column name; columns that the frame lacks become NULL."""
        if frame.is_empty():
            return
        self.register(STAGED, frame)
        self._connection.execute(f'INSERT INTO "{table}" BY NAME SELECT * FROM {STAGED}')  # noqa: S608 - our names
        self._connection.unregister(STAGED)

    def replace(self, table: str, frame: pl.DataFrame, key: str) -> None:
        """Delete the rows of `table` whose `key` is in the frame, then add the frame's rows."""
        if frame.is_empty():
            return
        self.register(STAGED, frame.select(pl.col(key).unique()))
        self._connection.execute(f'DELETE FROM "{table}" WHERE "{key}" IN (SELECT "{key}" FROM {STAGED})')  # noqa: S608 - our names
        self._connection.unregister(STAGED)
        self.append(table, frame)

    def register(self, name: str, frame: pl.DataFrame) -> None:
        """Let SQL of this transaction see `frame` as a view called `name`; nothing is copied."""
        self._connection.register(name, frame.to_arrow(compat_level=pl.CompatLevel.newest()))

    def sql(self, query: str, /, **parameters: object) -> pl.DataFrame:
        """Run any SQL inside the transaction and return its rows; `$name` stands for a parameter."""
        return rows(self._connection, query, parameters)
