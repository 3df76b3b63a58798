"""Stitching: what it costs to join parts of trained networks, and networks made of them."""

from pathlib import Path
from re import fullmatch
from typing import Annotated, Any

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Descriptions, Device, LakeFolder, Quiet
from commands.terminal import progress_bar, say, show
from schemas import Lake, UsageError, open_lake

STAGES = ("random", "least squares", "trained")
MOST_SHOWN = 20
"""So many networks of a Pareto front are shown."""


def stitch(
    select: Annotated[str, typer.Option("--select", help="SQL query that returns model_id (and epoch), in quotes.")],
    lake: LakeFolder = DEFAULT_LAKE,
    penalty: Annotated[bool, typer.Option("--penalty", help="Measure what joints cost, for every pair.")] = False,
    train: Annotated[
        str | None, typer.Option("--train", help="Make a stitchable network: a TOML recipe, or default.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="For --train: write it as a model repository below this folder, too.")
    ] = None,
    cut: Annotated[
        list[str] | None, typer.Option(help="For --penalty: only this cut, by name or number; may be repeated.")
    ] = None,
    trained: Annotated[
        bool, typer.Option("--trained", help="For --penalty: joints that are trained, too, for a few epochs.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="For --trained: so many; 5 without it.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="For --trained: Adam's rate at the beginning; 0.001 without it.")
    ] = None,
    fit_samples: Annotated[
        int, typer.Option(min=2, help="For --penalty: joints are fitted to so many training samples, or all there are.")
    ] = 2000,
    held_out: Annotated[str, typer.Option(help="For --penalty: measured on test or validation.")] = "test",
    samples: Annotated[
        int | None, typer.Option(min=2, help="For --penalty: measured on so many samples; all without it.")
    ] = None,
    ridge: Annotated[
        float, typer.Option(help="For --penalty: penalty on large weights of joints, for a sample; 0 or more.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="For --penalty: decides which samples are drawn.")] = 0,
    to: Annotated[
        Path | None,
        typer.Option(help="Draw heat map or Pareto front into this .svg, .png or .html file."),
    ] = None,
    description: Descriptions = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: on a GPU if there is one.")] = Device.AUTO,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Join fronts of models to ends of others, and measure what each joint costs."""
    import learners
    from zoo import read_description

    if penalty == (train is not None):
        raise UsageError("say one of --penalty, to measure what joints cost, and --train RECIPE, to make a network")
    if penalty and export is not None:
        raise UsageError("--export writes a stitchable network, and --penalty makes none; take --train")
    given = {"epochs": epochs, "learning_rate": learning_rate}
    training: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if training and not trained:
        raise UsageError(f"--{next(iter(training)).replace('_', '-')} is how joints are trained; add --trained")
    settings = learners.PenaltySettings(
        cuts=tuple(int(name) if fullmatch("-?[0-9]+", name) else name for name in cut or ()),
        training=learners.JointTraining(**training) if trained else None,
        fit_samples=fit_samples,
        held_out=held_out,
        held_out_samples=samples,
        ridge=ridge,
        seed=seed,
    )
    if train is not None and settings != learners.PenaltySettings():
        raise UsageError(
            "--train takes its settings from its recipe; only --export, --to, --description and --device go with it"
        )
    if to is not None:
        learners.check_chart_file(to)
    if export is not None:
        learners.check_export_folder(export)
    computed: dict[str, Any] = {"description": [read_description(path) for path in description or ()], "device": device}
    with open_lake(lake, create=False) as opened, progress_bar(quiet) as progress:
        computed["progress"] = progress
        if train is None:
            show(_penalty(opened, select, settings, to, computed), as_json)
            return
        made = _train(opened, select, train, export, to, computed)
    if as_json:
        show(made.drop("model_id"), as_json)
    else:
        _show_stitches(made)


def _train(
    lake: Lake, select: str, recipe: str, export: Path | None, to: Path | None, computed: dict[str, Any]
) -> pl.DataFrame:
    """Make a stitchable network, write and draw it where that is asked for; gives its stitches."""
    import learners

    made = learners.stitch(lake, select, recipe, **computed)
    say(f"{made.model_id}: {len(made.anchors)} anchors, " + ("made now" if made.made else "was there"))
    for note in made.notes:
        say(f"note: {note}")
    if export is not None:
        say(f"written: {learners.export_stitchable(lake, made.model_id, export)}")
    if to is not None:
        say(f"drawn: {learners.draw_stitches(made.stitches, to)}")
    return made.stitches


def _show_stitches(stitches: pl.DataFrame) -> None:
    """A row for each stage, and one for each trained network on the Pareto front; the table `stitch` has the rest."""
    anchor = pl.col("hops") == 0
    stages = stitches.group_by("stage").agg(
        stitches=(~anchor).sum(),
        mean_accuracy=pl.col("accuracy").filter(~anchor).mean(),
        worst=pl.col("accuracy").filter(~anchor).min(),
        best=pl.col("accuracy").filter(~anchor).max(),
        anchors=pl.col("accuracy").filter(anchor).mean(),
        on_front=(pl.col("on_front") & ~anchor).sum(),
    )
    show(stages.sort(pl.col("stage").replace_strict({name: number for number, name in enumerate(STAGES)})), False)
    front = stitches.filter(pl.col("stage") == "trained", "on_front").sort("flops")
    show(
        front.select("stitch", "path", "flops", "parameters", "latency", "accuracy", "standard_error"),
        False,
        MOST_SHOWN,
    )
    model_id = stitches["model_id"][0]
    say(f"test accuracies; above is the Pareto front after training, all {stitches.height} rows have --json and")
    say(f"""  weightlake sql "FROM stitch WHERE model_id = '{model_id}' ORDER BY stage, flops" """.rstrip())


def _penalty(lake: Lake, select: str, settings: Any, to: Path | None, computed: dict[str, Any]) -> pl.DataFrame:
    """Measure penalties, draw them where that is asked for; gives their summary."""
    import learners

    found = learners.stitch_penalties(lake, select, settings, **computed)
    pairs, possible = len(found.models) ** 2, found.rows.select("front", "end").n_unique()
    known = f"{found.measured} of them measured now, {possible - found.measured} known before"
    say(f"{pairs} pairs of {len(found.models)} models, {known}, {pairs - possible} impossible")
    if not found.left_out.is_empty():
        reason = found.left_out["reason"][0]
        apart = f"all of {pairs - possible} pairs"
        say(f"{found.left_out.height} joints are impossible and left out, {apart}, for example: {reason}")
    if to is not None:
        say(f"drawn: {learners.draw_penalties(found, to)}")
    if (summary := found.summary())["standard_error"].null_count():
        say("no standard error: with fewer than three models nobody can tell what others would cost")
    return summary
