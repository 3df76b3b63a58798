"""The lake as one HTML page."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.terminal import show
from schemas import open_lake


def report(
    lake: LakeFolder = DEFAULT_LAKE,
    to: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write everything in the lake as one HTML page with pictures that opens without internet."""
    import learners

    with open_lake(lake, read_only=True) as opened:
        written = learners.report(opened, to)
    show(pl.DataFrame({"report": [str(written)]}), as_json)
