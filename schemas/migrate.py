"""Brings a lake's tables up to date: numbered SQL files, each in one transaction, each recorded."""

import re
from importlib.resources import files

import duckdb

from schemas.errors import DataError, UsageError

RECORD = """
CREATE TABLE IF NOT EXISTS migration (number INTEGER, name VARCHAR, applied_at TIMESTAMPTZ);
COMMENT ON TABLE migration IS 'The SQL files that made these tables, in order.';
COMMENT ON COLUMN migration.number IS 'Number of the file.';
COMMENT ON COLUMN migration.name IS 'Its name without number and ending.';
COMMENT ON COLUMN migration.applied_at IS 'When it was run on this lake (UTC).';
"""
RELATIONS = "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
COLUMNS_OF_RECORD = "SELECT column_name FROM duckdb_columns() WHERE table_name = 'migration'"


def migrations() -> dict[int, tuple[str, str]]:
    """Number -> (name, SQL) of every migration that this version knows, in order."""
    found = {}
    for file in files("schemas").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            found[int(match[1])] = (match[2], file.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """Number of the newest migration that the lake has seen; 0 for an empty database.

    Raises:
        DataError: the database has tables of something else.
    """
    tables = {name for (name,) in connection.execute(RELATIONS).fetchall()}
    if not tables:
        return 0
    columns = {name for (name,) in connection.execute(COLUMNS_OF_RECORD).fetchall()}
    if columns != {"number", "name", "applied_at"}:
        raise DataError(
            f"lake.duckdb is a database of something else, with the tables {', '.join(sorted(tables)[:3])}; "
            "name another folder"
        )
    row = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
    return int(row[0]) if row else 0


def check_not_newer(number: int) -> None:
    """Refuse a lake that a newer version has written."""
    newest = max(migrations())
    if number > newest:
        raise UsageError(
            f"this lake has schema {number}, and this version of weightlake knows {newest}: upgrade weightlake"
        )


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Run every migration that the lake has not seen; each is kept whole or not at all."""
    done = version(connection)
    check_not_newer(done)
    for number, (name, sql) in migrations().items():
        if number > done:
            connection.begin()
            connection.execute(RECORD)
            connection.execute(sql)
            connection.execute("INSERT INTO migration VALUES (?, ?, now())", [number, name])
            connection.commit()
