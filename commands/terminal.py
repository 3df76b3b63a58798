"""How the command line talks: results to stdout, all else to stderr, nothing of mined text steers the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import polars as pl
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas import UsageError

NARROWEST = 9  # characters that a column of a table needs
WIDEST = 120  # characters of a table's line in a file or a pipe, where nothing is folded


def say(text: str) -> None:
    """Print a line for the person, beside the results; above a progress bar that is being drawn."""
    print(text, file=sys.stderr, flush=True)


ALL_ROWS = "--rows 0 prints all, --json gives them as JSON"


def show(frame: pl.DataFrame, as_json: bool, rows: int = 0, more: str = ALL_ROWS) -> None:
    """Print a result to stdout: every row as JSON, or a table of at most `rows` rows (0: all) and how to get `more`."""
    if as_json:
        typer.echo(json_text(frame))
        return
    shown = frame.head(rows) if rows else frame
    table = _table(shown)
    if _is_too_wide(table):
        show_upright(shown)
    else:
        _console().print(table)
    if shown.height < frame.height:
        say(f"{shown.height} of {frame.height:,} rows; {more}")


def json_text(frame: pl.DataFrame) -> str:
    """Every row as JSON; bytes as hexadecimal digits.

    Raises:
        UsageError: a column holds bytes inside of lists or structs.
    """
    for name, kind in frame.schema.items():
        if kind.is_nested() and "Binary" in str(kind):
            raise UsageError(f"column {name} holds bytes inside of {kind}, which have no place in JSON; leave it out")
    return frame.with_columns(pl.col(pl.Binary).bin.encode("hex")).write_json()


def show_upright(frame: pl.DataFrame) -> None:
    """Print a line for each value, for results that have no room side by side."""
    for row in frame.iter_rows(named=True):
        for name, value in row.items():
            typer.echo(f"{name:>20}  {cell(value)}")
        typer.echo()


def _table(frame: pl.DataFrame) -> Table:
    """A line for each row."""
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*(cell(value) for value in row))
    return table


def _is_too_wide(table: Table) -> bool:
    """Whether a terminal has no room for so many columns, or a file would get lines that nobody can read."""
    if sys.stdout.isatty():
        return len(table.columns) * NARROWEST > Console().width
    return Measurement.get(_console(), _console().options, table).maximum > WIDEST


def _console() -> Console:
    wide = None if sys.stdout.isatty() else 1_000  # in a file or a pipe nothing is folded
    return Console(markup=False, emoji=False, highlight=False, width=wide)


def cell(value: object) -> str:
    """A value as a table shows it; control characters of mined text never reach the terminal."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int | None, str], None]]:
    """A bar on stderr that a library function moves, unless `quiet` or stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int | None, what: str) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield update


def fail(message: str, code: int) -> None:
    """End the program with one line on stderr."""
    say(f"weightlake: {message}" if "\n" not in message else message)
    sys.exit(code)
