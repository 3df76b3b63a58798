"""Importing other people's zoos."""

from pathlib import Path
from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Choice, LakeFolder, Quiet
from commands.terminal import progress_bar, say, show
from schemas import Lake
from schemas.lake import lake_to_be

UNREAD = """
SELECT count(*) AS times FROM failure
WHERE stage = 'import' AND subject IN (SELECT model_id FROM member WHERE population_id = $population_id)
"""


class Layout(Choice):
    """Formats of zoos."""

    RAY_TUNE = "ray-tune"
    SMALL_CNN_ZOO = "small-cnn-zoo"
    STATE_DICTS = "state-dicts"


def import_zoo(
    path: Annotated[Path, typer.Argument(help="Folder of the zoo.")],
    name: Annotated[str, typer.Option(help="What the population is called.")],
    lake: LakeFolder = DEFAULT_LAKE,
    layout: Annotated[Layout | None, typer.Option("--format", help="Its format; found out without it.")] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--i-trust-these-files",
            help="Read files of torch.save (.pt), which are pickles: weights only, in a process with limits.",
        ),
    ] = False,
    architecture: Annotated[
        str | None, typer.Option(help="The architecture of weightlake that computes what these networks do.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="The dataset on which weightlake measures them.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take a zoo that others have published into the lake: Ray Tune folders, a matrix, or files with a table."""
    import zoo

    with lake_to_be(lake) as opened, progress_bar(quiet) as progress:
        population_id = zoo.import_population(
            opened,
            path,
            name,
            format=layout,
            trust_torch_files=trust,
            architecture=architecture,
            dataset=dataset,
            progress=progress,
        )
        _say_unread(opened, population_id)
        show(zoo.populations(opened, population_id), as_json)


def _say_unread(lake: Lake, population_id: str) -> None:
    times = lake.sql(UNREAD, population_id=population_id).item()
    if times:
        things = "one thing" if times == 1 else f"{times:,} things"
        say(f"{things} could not be read; weightlake sql \"FROM failure WHERE stage = 'import'\" lists them")
