"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from schemas import UsageError

DEFAULT_LAKE = Path("lake")
ROWS_SHOWN = 50

LakeFolder = Annotated[Path, typer.Option("--lake", envvar="WEIGHTLAKE_LAKE", help="Folder of the lake.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Rows = Annotated[int, typer.Option(min=0, help="Rows to print as a table; 0 for all.")]
Descriptions = Annotated[
    list[Path] | None,
    typer.Option(
        "--description",
        help="JSON file that says how models are built of which the lake does not know it: architecture, width, "
        "classes, input_shape, dataset, split_seed; again for others.",
    ),
]
Selection = Annotated[str, typer.Argument(help="SQL query that returns model_id (and epoch), in quotes.")]

OtherSettings = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE: another setting of metrics, e.g. epochs=5; may be repeated."),
]


EXAMPLES = {"--set": "epochs=5", "--at": "label_noise=0.2"}


def settings_of(texts: list[str] | None, option: str = "--set") -> dict[str, float | int | str]:
    """Read NAME=VALUE settings of an option.

    Raises:
        UsageError: One is something else.
    """
    found: dict[str, float | int | str] = {}
    for text in texts or []:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value:
            raise UsageError(f"{option} {text!r}: expected NAME=VALUE, such as {EXAMPLES[option]}")
        found[name] = value
    return found


class Choice(StrEnum):
    """A choice of the command line, which messages show as the text that it is."""

    def __repr__(self) -> str:
        return repr(self.value)


class Device(Choice):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Align(Choice):
    """What models are aligned by."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"
