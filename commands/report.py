"""The lake as one HTML page."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.terminal import show
from schemas import open_lake
from schemas.files import check_file, check_folder


def report(
    lake: LakeFolder = DEFAULT_LAKE,
    to: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    population: Annotated[str | None, typer.Option(help="Report on this population alone.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Write every picture as SVG into this folder, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything in the lake, or one population, as one HTML page with pictures that opens without internet."""
    import learners

    check_file(to)
    if pictures is not None:
        check_folder(pictures)
    with open_lake(lake, read_only=True) as opened:
        written = learners.report(opened, to, population, pictures)
    show(pl.DataFrame({"report": [str(written)]}), as_json)
