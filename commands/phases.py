"""The phases of a population."""

from pathlib import Path
from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Device, LakeFolder, OtherSettings, Quiet, settings_of
from commands.terminal import json_text, progress_bar, say, show
from schemas import open_lake


def phases(
    population: Annotated[str, typer.Argument(help="A population_id, or its recipe's name; weightlake zoo list.")],
    lake: LakeFolder = DEFAULT_LAKE,
    rule: Annotated[str, typer.Option(help="taxonomy, model-diagnosis, or a TOML file.")] = "taxonomy",
    to: Annotated[
        list[Path] | None,
        typer.Option(help="Write the phase diagram to this .svg, .png or .html file; may be repeated."),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option("--sensitivity", help="Print, too, how many cells keep their phase when thresholds move."),
    ] = False,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE: what members count where a population varies more than two axes, e.g. label_noise=0.2; "
            "may be repeated."
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: on a GPU if there is one.")] = Device.AUTO,
    setting: OtherSettings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give each cell of a population's grid its phase: measure what is missing, print the grid, draw the diagram."""
    import learners

    for path in to or []:
        learners.check_chart_file(path)
    with open_lake(lake, create=False) as opened, progress_bar(quiet) as progress:
        found = learners.phases_of_population(
            opened, population, rule, progress, settings_of(setting), settings_of(at, "--at"), device.value
        )
        drawn = [found.draw(path) for path in to or []]
    if as_json and sensitivity:
        both = {"cells": found.table, "sensitivity": found.sensitivity()}
        typer.echo("{" + ", ".join(f'"{name}": {json_text(frame)}' for name, frame in both.items()) + "}")
    else:
        show(found.table if as_json else learners.phase_grid(found), as_json)
    if sensitivity and not as_json:
        show(found.sensitivity(), as_json)
    say(f"measured with {found.measured_with}")
    for note in found.notes:
        say(f"note: {note}")
    for path in drawn:
        say(f"phase diagram: {path}")
