"""Measuring models and pairs of them."""

from pathlib import Path
from typing import Annotated

import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Device, LakeFolder, OtherSettings, Quiet, Selection, settings_of
from commands.terminal import progress_bar, show
from schemas import open_lake


def measure(
    selection: Selection,
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
    from zoo import read_description

    names = [name.strip() for name in metrics.split(",")] if metrics is not None else None
    given = read_description(description) if description else None
    with open_lake(lake, create=False) as opened, progress_bar(quiet) as progress:
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
