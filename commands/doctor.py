"""Looking for damage in the lake, and mending it."""

import json
from typing import Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder
from commands.environment import environment, lake_facts, shadowed
from commands.terminal import show
from schemas import examine, open_lake, repair


def doctor(
    lake: LakeFolder = DEFAULT_LAKE,
    weights: Annotated[bool, typer.Option(help="Read every shard and compare its hash.")] = True,
    mend: Annotated[
        bool,
        typer.Option(
            "--repair", help="First mend what loses nothing: rows that stand twice or of no model, leftovers."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show versions, devices and sizes, and look for damage in rows, weights and files.

    Damage is what stands twice, speaks of a model that is not there, is missing, was changed, or belongs to nothing.

    The exit code is 1 where something is left that somebody has to decide about.
    """
    with open_lake(lake, read_only=not mend, create=False) as opened:
        repaired = repair(opened) if mend else pl.DataFrame()
        facts = pl.concat([environment(), lake_facts(opened)])
        damage = examine(opened, weights)
    findings = pl.concat([pl.DataFrame(shadowed(), schema=damage.schema, orient="row"), damage])
    if as_json:
        parts = {"environment": dict(facts.rows()), "repaired": repaired.to_dicts(), "findings": findings.to_dicts()}
        typer.echo(json.dumps(parts))
    else:
        for part in (facts, repaired, findings):
            if not part.is_empty():
                show(part, as_json)
        if findings.is_empty():
            typer.echo(f"{lake} is sound")
    if not findings.is_empty():
        raise typer.Exit(1)
