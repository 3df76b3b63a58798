"""Looking for damage in the lake."""

from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.terminal import show
from schemas import examine, open_lake


def doctor(
    lake: LakeFolder = DEFAULT_LAKE,
    weights: Annotated[bool, typer.Option(help="Read every shard and compare its hash.")] = True,
    as_json: AsJson = False,
) -> None:
    """Look for damage: rows that stand twice or lack their model, shards that are missing or changed."""
    with open_lake(lake, read_only=True) as opened:
        findings = examine(opened, weights)
    if as_json or not findings.is_empty():
        show(findings, as_json)
    else:
        typer.echo(f"{lake} is sound")
    if not findings.is_empty():
        raise typer.Exit(1)
