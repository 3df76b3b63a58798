"""One public write to a lake: all of it is kept, or nothing."""

import polars as pl
from duckdb import DuckDBPyConnection

from schemas.connection import rows

STAGED = "staged_frame"

Rows = pl.DataFrame | str
"""Rows on their way into the lake: a frame, or a query that gives them without a detour through Python."""


class Transaction:
    """An open DuckDB transaction; `Lake.write` makes it and commits it."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection

    def append(self, table: str, rows: Rows) -> None:
        """Add rows to `table`, matched by column name; columns that they lack become NULL."""
        if isinstance(rows, pl.DataFrame) and rows.is_empty():
            return
        self.register(STAGED, rows)
        self._connection.execute(f'INSERT INTO "{table}" BY NAME SELECT * FROM {STAGED}')  # noqa: S608 - our names
        self._connection.execute(f"DROP VIEW {STAGED}")

    def replace(self, table: str, frame: pl.DataFrame, key: str) -> None:
        """Delete the rows of `table` whose `key` is in the frame, then add the frame's rows."""
        if frame.is_empty():
            return
        self.register(STAGED, frame.select(pl.col(key).unique()))
        self._connection.execute(f'DELETE FROM "{table}" WHERE "{key}" IN (SELECT "{key}" FROM {STAGED})')  # noqa: S608 - our names
        self._connection.unregister(STAGED)
        self.append(table, frame)

    def register(self, name: str, rows: Rows) -> None:
        """Let SQL of this transaction see `rows` as a view called `name`; nothing is copied."""
        self._connection.execute(f'DROP VIEW IF EXISTS "{name}"')
        if isinstance(rows, str):
            self._connection.execute(f'CREATE TEMP VIEW "{name}" AS {rows}')
        else:
            self._connection.register(name, rows.to_arrow(compat_level=pl.CompatLevel.newest()))

    def sql(self, query: str, /, **parameters: object) -> pl.DataFrame:
        """Run any SQL inside the transaction and return its rows; `$name` stands for a parameter."""
        return rows(self._connection, query, parameters)
