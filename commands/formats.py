"""The forms in which a result leaves the command line: a table, CSV, JSON or Parquet, to stdout or into a file."""

import io
import json
import sys
from pathlib import Path

import polars as pl
import typer

from commands.arguments import Choice
from commands.terminal import cell, json_text, say, show
from schemas import UsageError
from schemas.files import write_whole


class Format(Choice):
    """Forms of a result."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def chosen_format(form: Format | None, json_wanted: bool, to: Path | None) -> Format:
    """Give the form that is asked for, or that a file's name ends with; a table without either.

    Raises:
        UsageError: the options contradict each other, or the file's name tells no form.
    """
    if json_wanted:
        if form not in (None, Format.JSON):
            raise UsageError(f"--json and --format {form} exclude each other")
        form = Format.JSON
    if to is None:
        return form or Format.TABLE
    ending = to.suffix.lower().removeprefix(".")
    if form is Format.TABLE or (form is None and ending not in set(Format) - {Format.TABLE}):
        raise UsageError(f"{to} is written as csv, json or parquet; give its name that ending, or --format")
    return form or Format(ending)


def deliver(frame: pl.DataFrame, form: Format, to: Path | None, rows: int = 0) -> None:
    """Write a result in a form into a file, or to stdout, where a table has at most `rows` rows (0: all).

    Raises:
        UsageError: the form is for files only and stdout is a terminal, or has no place for a value.
        OutsideError: the file cannot be written.
    """
    if to is not None:
        write_whole(to, _bytes(frame, form))
    elif form is Format.TABLE:
        show(frame, as_json=False, rows=rows)
    elif form is Format.PARQUET:
        if sys.stdout.isatty():
            raise UsageError("Parquet is for files, not for a terminal: --to FILE.parquet")
        sys.stdout.buffer.write(_bytes(frame, form))
    else:
        harmless = form is Format.CSV and sys.stdout.isatty()
        typer.echo(_bytes(_printable(frame) if harmless else frame, form).decode().rstrip("\n"))


def say_written(frame: pl.DataFrame, to: Path) -> None:
    """Tell the person how many rows went where."""
    say(f"{frame.height:,} {'row' if frame.height == 1 else 'rows'} written to {to}")


def _bytes(frame: pl.DataFrame, form: Format) -> bytes:
    if form is Format.JSON:
        return json_text(frame).encode() + b"\n"
    written = io.BytesIO()
    if form is Format.PARQUET:
        frame.write_parquet(written)
    else:
        frame.with_columns(_flat(column) for column in frame).write_csv(written)
    return written.getvalue()


def _flat(column: pl.Series) -> pl.Series:
    """A column that CSV has a place for: lists and structs as JSON, bytes as hexadecimal digits."""
    if column.dtype == pl.Binary:
        return column.bin.encode("hex")
    if not column.dtype.is_nested():
        return column
    texts = [None if value is None else json.dumps(value, default=str) for value in column.to_list()]
    return pl.Series(column.name, texts, pl.String)


def _printable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without characters in texts that could steer a terminal."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(
        pl.Series(name, [None if value is None else cell(value) for value in frame[name]], pl.String) for name in texts
    )
