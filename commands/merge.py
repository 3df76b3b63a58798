"""Merging models of any size, after saying whether they can be merged."""

import json
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, Align, AsJson, Descriptions, LakeFolder, Quiet
from commands.terminal import json_text, progress_bar, say, show
from schemas import UsageError, open_lake

RESERVED = {
    *("parent", "to", "keep", "align", "repair", "dtype", "precision", "seed", "force", "samples"),
    *("progress", "description", "lake", "sql", "method", "shard_bytes"),
}
"""What is given as an option of its own."""
MEAN = "the mean of the models that can be merged with each other"
"""What task vectors are differences from where no parent is named."""
WORDS = {"True": True, "False": False, "None": None}
"""What Python calls what JSON calls otherwise."""
SHOWN = ("first", "second", "verdict", "about", "common_start", "distance", "task_cosine", "barrier")
MOST_PAIRS = 20
"""So many pairs are shown one by one."""


def merge(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="SQL query that returns model_id (and epoch, and weight), in quotes; or names of models."),
    ] = None,
    lake: LakeFolder = DEFAULT_LAKE,
    method: Annotated[str, typer.Option(help="How; --methods lists them.")] = "linear",
    parent: Annotated[
        str | None, typer.Option(help="model_id (or model_id@epoch) of the model that they were fine-tuned from.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method, e.g. density=0.2; again for others.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Tensors taken from the base as they are, e.g. 'head.*'; again for others.")
    ] = None,
    align: Annotated[
        Align | None, typer.Option(help="Bring the units of all models into the order of the first one's, before.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Give units of the mean the moments that averaging takes (REPAIR).")
    ] = False,
    to: Annotated[Path | None, typer.Option(help="Folder of the merged repository; in the lake without it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type to store: float16, bfloat16, float32 or float64.")] = None,
    precision: Annotated[str, typer.Option(help="Type to compute in: float32 or float64.")] = "float32",
    seed: Annotated[int, typer.Option(help="What a method draws hangs on it.")] = 0,
    samples: Annotated[
        int, typer.Option(help="Training samples of each model for Fisher information and Gram matrices.")
    ] = 500,
    shard_bytes: Annotated[int, typer.Option(help="Largest size of a file of weights, in bytes.")] = 5_000_000_000,
    check: Annotated[bool, typer.Option("--check", help="Say whether they can be merged, and stop.")] = False,
    headers_only: Annotated[
        bool, typer.Option("--headers-only", help="For --check: by lineage and headers, without reading a weight.")
    ] = False,
    methods: Annotated[bool, typer.Option("--methods", help="List the methods, and stop.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Merge even where that is possible but unwise.")] = False,
    as_json: AsJson = False,
    description: Descriptions = None,
    quiet: Quiet = False,
) -> None:
    """Merge models from disk to disk into a repository and a model of the lake, or say why not.

    With --check the exit code is 1 where a merge is impossible, or unwise and not forced.
    """
    import learners
    from zoo import read_description

    if methods:
        show(learners.merge_methods(), as_json)
        return
    if not models:
        raise UsageError('what is to be merged? expected a query, e.g. "SELECT model_id FROM models WHERE ..."')
    if headers_only and not check:
        raise UsageError("--headers-only is an option of --check; a merge reads weights")
    selection = models[0] if len(models) == 1 and " " in models[0].strip() else models
    built = [read_description(path) for path in description or ()]
    if check:
        with open_lake(lake, create=False) as opened:
            asked: dict[str, Any] = {
                "parent": parent,
                "keep": keep or (),
                "measure": not headers_only,
                "description": built,
            }
            report = learners.mergeability(opened, selection, **asked)
        _show_check(report, parent, as_json)
        raise typer.Exit(0 if report.verdict == "safe" or (report.verdict == "unwise" and force) else 1)
    chosen = _settings(settings or [])
    given: dict[str, Any] = {"dtype": dtype, "precision": precision, "seed": seed, "force": force}
    given |= {"align": align and align.value, "repair": repair, "description": built}
    given |= {"samples": samples, "shard_bytes": shard_bytes}
    with open_lake(lake, create=False) as opened, progress_bar(quiet) as progress:
        made = learners.merge(
            opened,
            selection,
            method,
            parent=parent,
            to=to,
            keep=keep or (),
            progress=progress,
            **given,
            **chosen,
        )
    _show_made(made, as_json)


def _show_made(made: Any, as_json: bool) -> None:
    for warning in made.warnings:
        say(f"unwise, but forced: {warning}")
    for note in made.notes:
        say(f"note: {note}")
    row = {
        "model_id": made.model_id,
        "models": len(made.ingredients),
        "parent": made.parent,
        "folder": str(made.folder),
    }
    show(pl.DataFrame([row | {f"{split}_accuracy": value for split, value in made.accuracy.items()}]), as_json)


def _show_check(report: Any, parent: str | None, as_json: bool) -> None:
    """The verdict, a row for each kind of problem, and the pairs where these are few."""
    if as_json:
        found = {"verdict": report.verdict, "would_help": list(report.helps), "task_vectors_from": parent or MEAN}
        frames = {"problems": report.summary, "pairs": report.pairs}
        typer.echo(json.dumps(found | {name: json.loads(json_text(frame)) for name, frame in frames.items()}))
        return
    say(f"verdict: {report.verdict}")
    if not report.summary.is_empty():
        show(report.summary.rename({"reason": "for example", "help": "would help"}), as_json)
    every = report.pairs
    possible = every.filter(pl.col("verdict") != "impossible")
    shown = every if every.height <= MOST_PAIRS else possible if possible.height <= MOST_PAIRS else every.clear()
    if shown.height < every.height:
        safe = possible.filter(verdict="safe").height
        split = f"{possible.height} of them possible: {safe} safe, {possible.height - safe} unwise"
        say(f"{every.height} pairs, {split}; --json gives each of them")
    if not shown.is_empty():
        show(shown.with_columns(_name_of("first"), _name_of("second")).select(SHOWN), as_json)
    if shown["task_cosine"].count():
        say(f"task_cosine: of differences from {parent or MEAN + ' (--parent names a model)'}")


def _name_of(which: str) -> pl.Expr:
    """A model of each pair, as messages call it: checkpoints of one run by their epochs."""
    model_id, epoch = pl.col(f"{which}_id"), pl.col(f"{which}_epoch")
    return pl.when(epoch.is_null()).then(model_id).otherwise(pl.format("{}@{}", model_id, epoch)).alias(which)


def _settings(given: list[str]) -> dict[str, Any]:
    """Settings `name=value`; a value is a number, true or false, a list such as [1,2], or a word."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--set {text}: expected name=value, e.g. --set density=0.2")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = WORDS.get(value, value)
    reserved = found.keys() & RESERVED
    if reserved:
        raise UsageError(f"--set {min(reserved)}: that is no setting of a method; see weightlake merge --help")
    return found
