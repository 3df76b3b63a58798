"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_LAKE = Path("lake")
ROWS_SHOWN = 50

LakeFolder = Annotated[Path, typer.Option("--lake", envvar="WEIGHTLAKE_LAKE", help="Folder of the lake.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Rows = Annotated[int, typer.Option(min=0, help="Rows to print as a table; 0 for all.")]
Selection = Annotated[str, typer.Argument(help="SQL query that returns model_id (and epoch), in quotes.")]


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
