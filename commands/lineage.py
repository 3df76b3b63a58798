"""A model's family, as a table or a drawing."""

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, ROWS_SHOWN, AsJson, LakeFolder, Rows
from commands.terminal import show
from schemas import open_lake


def lineage(
    model: Annotated[
        str, typer.Argument(help="Its model_id, e.g. huggingface:google/vit-base-patch16-224, or owner/name.")
    ],
    lake: LakeFolder = DEFAULT_LAKE,
    up: Annotated[int | None, typer.Option(min=0, help="Steps to go to its ancestors; all without it.")] = None,
    down: Annotated[int | None, typer.Option(min=0, help="Steps to go to its descendants; all without it.")] = None,
    to: Annotated[Path | None, typer.Option(help="Draw the family into this .svg or .html file.")] = None,
    rows: Rows = ROWS_SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show which models a model comes from, and which come from it."""
    import learners

    if to is not None:
        from learners.lineage.drawing import check_family_file

        check_family_file(to)
    with open_lake(lake, read_only=True) as opened:
        family = learners.lineage_graph(opened, model, up=up, down=down)
    if to is None:
        show(learners.family_table(family), as_json, rows)
    else:
        written = learners.draw_family(family, to)
        show(pl.DataFrame({"models": [len(family)], "drawing": [str(written)]}), as_json)
