"""Measuring models and pairs of them."""

from pathlib import Path
from typing import Annotated
from warnings import catch_warnings, simplefilter

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Device, LakeFolder, OtherSettings, Quiet, settings_of
from commands.terminal import progress_bar, say, show
from schemas import open_lake


def measure(
    selection: Annotated[
        str, typer.Argument(help="SQL query that returns model_id, in quotes; final weights are measured.")
    ],
    lake: LakeFolder = DEFAULT_LAKE,
    metrics: Annotated[
        str | None,
        typer.Option(help="Names with commas between, e.g. loss,hessian_trace,cka; what phases need without it."),
    ] = None,
    setting: OtherSettings = None,
    description: Annotated[
        Path | None,
        typer.Option(
            help="JSON file that says how models are built of which the lake does not know it: architecture, width, "
            "classes, input_shape, dataset, split_seed."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of probes, samples and curves.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: on a GPU if there is one.")] = Device.AUTO,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure loss, curvature, similarity, connectivity and more, and write each figure to the lake with its error."""
    import learners
    from learners.landscape.measuring.measuring import NO_PAIR, NoPairWarning
    from zoo import read_description

    names = [name.strip() for name in metrics.split(",")] if metrics is not None else None
    given = read_description(description) if description else None
    with open_lake(lake, create=False) as opened, progress_bar(quiet) as progress, catch_warnings():
        simplefilter("ignore", NoPairWarning)  # it is said below
        done = learners.measure(
            opened,
            selection,
            **({"metrics": names} if names is not None else {}),  # type: ignore[arg-type] # a list of names
            seed=seed,
            settings=settings_of(setting),
            description=given,
            device=device.value,
            progress=progress,
        )
    show(done, as_json)
    empty = done.filter(pl.sum_horizontal("measured", "known", "without_value") == 0)["metric"].to_list()
    if empty:
        say(f"note: no pair for {', '.join(empty)}: {NO_PAIR}")
