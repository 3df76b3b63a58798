"""Measuring models and pairs of them."""

from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, LakeFolder, Quiet, Selection
from commands.terminal import progress_bar, show
from schemas import open_lake


def measure(
    selection: Selection,
    lake: LakeFolder = DEFAULT_LAKE,
    metrics: Annotated[
        str | None,
        typer.Option(help="Names with commas between, e.g. loss,hessian_trace,cka; what phases need without it."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of probes, samples and curves.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure loss, curvature, similarity and connectivity of models, and write each figure to the lake."""
    import learners

    names = [name.strip() for name in metrics.split(",")] if metrics else None
    with open_lake(lake) as opened, progress_bar(quiet) as progress:
        given = {"metrics": names} if names else {}
        done = learners.measure(opened, selection, seed=seed, progress=progress, **given)  # type: ignore[arg-type] # a list of names
    show(done, as_json)
