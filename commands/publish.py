"""Publishing tables of the lake."""

from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder, Quiet
from commands.terminal import progress_bar, say, show
from schemas import open_lake


def publish(
    what: Annotated[str, typer.Argument(help="Tables and views, as model,tag,lineage; or an SQL query, in quotes.")],
    to: Annotated[str, typer.Option(help="Folder to write the dataset to, or hf:owner/name to upload it to.")],
    lake: LakeFolder = DEFAULT_LAKE,
    name: Annotated[str, typer.Option(help="What the rows of a query are called.")] = "query",
    with_cards: Annotated[
        bool, typer.Option("--with-cards", help="Publish texts of model cards too, with their models' licences.")
    ] = False,
    license_id: Annotated[
        str | None, typer.Option("--license", help="Licence that is stated, e.g. cc-by-4.0; none without it.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a repository that only its owner sees.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="URL of another hub.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and stop.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Publish tables of the lake as a dataset, without e-mail addresses and texts of model cards."""
    import zoo

    with open_lake(lake, read_only=True) as opened, progress_bar(quiet) as progress:
        files = zoo.publish_tables(
            opened,
            what,
            to,
            name=name,
            with_cards=with_cards,
            license_id=license_id,
            private=private,
            endpoint=endpoint,
            dry_run=dry_run,
            progress=progress,
        )
    if license_id is None:
        say("no licence is stated, so that nobody may use it; --license cc-by-4.0 would state one")
    show(files, as_json)
