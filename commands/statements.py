"""Cuts what somebody typed into SQL statements."""

import duckdb

from schemas import UsageError
from schemas.connection import one_line


def statements(text: str) -> list[str]:
    """Give the statements of a text, as DuckDB's own parser cuts them.

    Raises:
        UsageError: the text is no SQL; where is told.
    """
    if ";" not in text.strip().rstrip(";"):
        return [text] if text.strip(" \t\r\n;") else []
    try:
        with duckdb.connect() as parser:
            return [statement.query.strip() for statement in parser.extract_statements(text)]
    except duckdb.Error as error:
        raise UsageError(one_line(error)) from error
