"""Publishing populations as datasets and models as repositories."""

from typing import Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, ROWS_SHOWN, AsJson, Choice, LakeFolder, Quiet
from commands.terminal import progress_bar, say, show
from schemas import open_lake

License = Annotated[
    str | None, typer.Option("--license", help="Licence that is stated, e.g. cc-by-4.0; none without it.")
]


class Together(Choice):
    """What no split may part."""

    RUN = "run"
    PARENT = "parent"
    START = "start"
    CELL = "cell"


def publish(
    population: Annotated[
        str, typer.Argument(help="A population's name, or an SQL query that returns model_id (and epoch), in quotes.")
    ],
    to: Annotated[str, typer.Option(help="Folder to write the dataset to, or hf:owner/name to upload it to.")],
    lake: LakeFolder = DEFAULT_LAKE,
    license_id: License = None,
    together: Annotated[
        Together,
        typer.Option(
            help="In one split: checkpoints of a model; models of a parent too; of a start too; of a parent or a cell."
        ),
    ] = Together.START,
    seed: Annotated[int, typer.Option(help="Number that decides which models are in which split.")] = 0,
    shard_bytes: Annotated[int, typer.Option(help="About how large a file of weights may get: 1 MB to 5 GB.")] = 2
    * 10**9,
    private: Annotated[bool, typer.Option("--private", help="Make a repository that only its owner sees.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="URL of another hub.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Publish a population as a dataset: tables, weights with an index of their bytes, and a card."""
    import zoo

    with open_lake(lake, read_only=True) as opened, progress_bar(quiet) as progress:
        files = zoo.publish_population(
            opened,
            population,
            to,
            license_id=license_id,
            together=together,
            seed=seed,
            shard_bytes=shard_bytes,
            private=private,
            endpoint=endpoint,
            dry_run=dry_run,
            progress=progress,
        )
    if license_id is None:
        say("no licence is stated, so that nobody may use it; --license cc-by-4.0 would state one")
    if dry_run:
        say(_planned(files))
    show(files, as_json, ROWS_SHOWN, "--json gives all")


def _planned(files: pl.DataFrame) -> str:
    """What a dry run adds up to."""
    from zoo.publishing.dataset_card import size_in_words

    weights = size_in_words(int(files.filter(pl.col("file").str.starts_with("weights/"))["bytes"].sum()))
    number = files["commit"].n_unique() if "commit" in files.columns else 0
    commits = f" in {number:,} commit{'' if number == 1 else 's'}" if number else ""
    return f"{files.height:,} files{commits}: {weights} of weights, and tables, whose size shows once they are written"


class Layout(Choice):
    """What models are exported as."""

    REPOSITORIES = "repositories"
    RAY_TUNE = "ray-tune"
    SMALL_CNN_ZOO = "small-cnn-zoo"
    STATE_DICTS = "state-dicts"


def export(
    selection: Annotated[
        str, typer.Argument(help="SQL query that returns model_id, in quotes; or, but for repositories, a population.")
    ],
    to: Annotated[
        str,
        typer.Option(help="Folder to write to; or, for repositories, hf:owner, or hf:owner/name for one model."),
    ],
    lake: LakeFolder = DEFAULT_LAKE,
    layout: Annotated[
        Layout, typer.Option("--format", help="Repositories of a model each, or one zoo in another tool's format.")
    ] = Layout.REPOSITORIES,
    license_id: License = None,
    private: Annotated[bool, typer.Option("--private", help="Make repositories that only their owner sees.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="URL of another hub.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write models as model repositories (config, weights, card), or as a zoo that another tool reads."""
    import zoo

    with open_lake(lake, read_only=True) as opened:
        if layout is not Layout.REPOSITORIES:
            show(zoo.export_population(opened, selection, to, format=layout), as_json)
            return
        written = zoo.publish_repositories(
            opened, selection, to, license_id=license_id, private=private, endpoint=endpoint
        )
    show(pl.DataFrame({"repositories": [written], "place": [to]}), as_json)
