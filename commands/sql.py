"""Asking the lake in SQL."""

from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, ROWS_SHOWN, AsJson, LakeFolder, Rows
from commands.terminal import show
from schemas import open_lake


def sql(
    query: Annotated[str, typer.Argument(help="Any query that reads, in quotes; start with the view models.")],
    lake: LakeFolder = DEFAULT_LAKE,
    rows: Rows = ROWS_SHOWN,
    as_json: AsJson = False,
) -> None:
    """Ask the lake in SQL."""
    with open_lake(lake, read_only=True) as opened:
        show(opened.sql(query), as_json, rows)
