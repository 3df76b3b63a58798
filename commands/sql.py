"""Asking the lake in SQL."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, ROWS_SHOWN, AsJson, LakeFolder, Rows
from commands.formats import Format, chosen_format, deliver, say_written
from commands.statements import statements
from schemas import UsageError, open_lake
from schemas.files import check_file


def sql(
    query: Annotated[
        str | None,
        typer.Argument(help="A query that reads, in quotes; without it a shell, or what comes through a pipe."),
    ] = None,
    lake: LakeFolder = DEFAULT_LAKE,
    rows: Rows = ROWS_SHOWN,
    form: Annotated[Format | None, typer.Option("--format", help="How the answer is written.")] = None,
    to: Annotated[Path | None, typer.Option(help="Write the answer into this .csv, .json or .parquet file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the lake in SQL; without a query, one after the other. Begin with: SELECT * FROM models"""
    from commands.shell import Shell

    chosen = chosen_format(form, as_json, to)
    if to is not None:
        check_file(to)
    with open_lake(lake, read_only=True) as opened:
        if query is None and sys.stdin.isatty():
            if to is not None or chosen is Format.PARQUET:
                raise UsageError("a file takes one answer: give the query, or write .to FILE in the shell")
            Shell(opened, chosen, rows).run()
            return
        asked = statements(sys.stdin.read() if query is None else query) or [""]
        if len(asked) > 1 and chosen is not Format.TABLE:
            raise UsageError(f"{chosen} holds one answer, and these are {len(asked)} statements")
        for statement in asked:
            answer = opened.sql(statement)
            deliver(answer, chosen, to, rows)
            if to is not None:
                say_written(answer, to)
