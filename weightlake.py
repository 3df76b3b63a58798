"""The command line: each command parses, calls one library function and prints what it returns."""

import os
import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from schemas import UsageError, WeightlakeError, examine, open_lake
from weightlake_terminal import fail, progress_bar, say, show

app = typer.Typer(
    name="weightlake",
    help="Mine model hubs, train populations, and run learners on whatever models a SQL query returns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
zoo_app = typer.Typer(help="Train populations of networks from recipes.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(zoo_app, name="zoo")

LakeFolder = Annotated[Path, typer.Option("--lake", envvar="WEIGHTLAKE_LAKE", help="Folder of the lake.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Selection = Annotated[str, typer.Argument(help="SQL query that returns model_id (and epoch), in quotes.")]

DEFAULT_LAKE = Path("lake")
HUBS = "huggingface, local (folders), snapshot (files), onnx, pytorch_hub, modelhub_ai, timm or modelzoo_co."
ROWS_SHOWN = 50
INTERRUPTED = 130
STOPPED = "interrupted; what was done is kept, and the same command goes on from there"


class Scale(StrEnum):
    """Sizes of a recipe beside its own."""

    TINY = "tiny"


class SoupMethod(StrEnum):
    """How a soup's ingredients are chosen."""

    GREEDY = "greedy"
    UNIFORM = "uniform"


class Device(StrEnum):
    """Where a population is trained."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def mine(
    hub: Annotated[str, typer.Argument(help=HUBS)],
    place: Annotated[
        str | None,
        typer.Argument(
            help="For local: model repositories, one of them, the Hugging Face cache, or checkpoints (file or folder). "
            "For snapshot: Parquet or JSON lines of hub records, a file, folder, pattern or URL."
        ),
    ] = None,
    lake: LakeFolder = DEFAULT_LAKE,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many models.")] = None,
    search: Annotated[str | None, typer.Option(help="Only models whose name contains this.")] = None,
    author: Annotated[str | None, typer.Option(help="Only models of this user or organisation.")] = None,
    task: Annotated[str | None, typer.Option(help="Only models of this task, e.g. text-classification.")] = None,
    library: Annotated[str | None, typer.Option(help="Only models of this library, e.g. transformers.")] = None,
    sort: Annotated[str | None, typer.Option(help="Order, e.g. downloads, likes, createdAt, lastModified.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="List all models, and find what was deleted or renamed.")
    ] = False,
    ids: Annotated[
        str | None, typer.Option(help="Exactly these: a file with one id a line, or a query returning model_id.")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="So many models drawn from the lake.")] = None,
    stratify: Annotated[
        str | None, typer.Option(help="Draw the sample in proportion to these: task,library,popularity.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Number that decides who is drawn; 0 without it.")] = None,
    cards: Annotated[bool, typer.Option("--cards", help="Fetch model cards too.")] = False,
    configs: Annotated[bool, typer.Option("--configs", help="Fetch config.json too.")] = False,
    tensors: Annotated[bool, typer.Option("--tensors", help="Read headers of weights too, no weights.")] = False,
    commits: Annotated[bool, typer.Option("--commits", help="Fetch the history of commits too.")] = False,
    discussions: Annotated[bool, typer.Option("--discussions", help="Fetch the list of discussions too.")] = False,
    files: Annotated[bool, typer.Option("--files", help="Fetch the files' sizes and hashes too.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew instead of going on with a run that was ended.")
    ] = False,
    max_requests: Annotated[int | None, typer.Option(min=1, help="Stop after so many requests.")] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop after so many hours.")] = None,
    polite: Annotated[float | None, typer.Option(help="Use only this share of the hub's quotas, e.g. 0.5.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked of the hub, and stop.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="URL of another hub of the same kind.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="For catalogues (onnx, ...): a checkout or a tar archive instead of the live site."),
    ] = None,
    observed_at: Annotated[
        str | None, typer.Option(help="When a snapshot was taken (UTC), if not as its path says.")
    ] = None,
    download_limit: Annotated[int | None, typer.Option(min=1, help="Largest snapshot to download, in bytes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Pull models from a hub, a folder, or snapshots of the Hub, into the lake."""
    import miners

    texts = {"search": search, "author": author, "task": task, "library": library, "sort": sort, "endpoint": endpoint}
    choices = {"limit": limit, "full": full, "ids": ids, "sample": sample, "seed": seed, "restart": restart}
    things = {"cards": cards, "configs": configs, "tensors": tensors, "commits": commits, "files": files}
    limits = {"max_requests": max_requests, "max_hours": max_hours, "polite": polite}
    strata = {"stratify": stratify.split(",") if stratify else None, "discussions": discussions}
    places = {"source": place or source} if hub == "snapshot" else {"folder": place, "source": source}
    snapshots = {"observed_at": observed_at, "download_limit": download_limit}
    options = {**texts, **choices, **things, **limits, **strata, **places, **snapshots}
    given: dict[str, object] = {
        name: value for name, value in options.items() if value is not None and value is not False
    }
    with open_lake(lake) as opened, progress_bar(quiet) as progress:
        if dry_run:
            show(miners.plan(opened, hub, **given), as_json)
            return
        if hub == "huggingface" and not quiet:
            given["say"] = say
        crawl = miners.mine(opened, hub, progress=progress, **given)
    show(pl.DataFrame([crawl.as_row()]), as_json)
    if crawl.failures:
        why = f"weightlake sql \"FROM failure WHERE crawl_id = '{crawl.crawl_id}'\""
        say(f"{crawl.failures:,} of {crawl.rows_seen:,} could not be stored; {why} says why")


@zoo_app.command("build")
def zoo_build(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a TOML file.")],
    lake: LakeFolder = DEFAULT_LAKE,
    device: Annotated[Device, typer.Option(help="Where to train; auto: on a GPU if there is one.")] = Device.AUTO,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; one a core without it.")] = None,
    scale: Annotated[Scale | None, typer.Option(help="tiny: the recipe's shape on made data, in seconds.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the recipe's, e.g. npz:PATH.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe's population; what is already trained is not trained again."""
    import zoo
    from zoo.recipe import load_recipe, on_dataset, scaled

    checked = load_recipe(scaled(recipe, scale))  # before a lake is made for what cannot be built
    checked = on_dataset(checked, dataset) if dataset else checked
    with open_lake(lake) as opened, progress_bar(quiet) as progress:
        population_id = zoo.build(opened, checked, device=device, workers=workers, progress=progress)
        show(zoo.populations(opened, population_id), as_json)


@zoo_app.command("list")
def zoo_list(lake: LakeFolder = DEFAULT_LAKE, as_json: AsJson = False) -> None:
    """List the populations of the lake."""
    import zoo

    with open_lake(lake, read_only=True) as opened:
        show(zoo.populations(opened), as_json)


@zoo_app.command("recipes")
def zoo_recipes(
    scale: Annotated[Scale | None, typer.Option(help="tiny: the small form of each recipe.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipes that weightlake ships, with members, parameters and an estimate of their cost."""
    import zoo

    show(zoo.recipes(scale), as_json, rows=0)


@zoo_app.command("fetch")
def zoo_fetch(
    dataset: Annotated[str, typer.Argument(help="A dataset of the Hub that recipes name, e.g. uoft-cs/cifar10.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a dataset from the Hub and keep it as tensors, in one file that other machines can use."""
    import zoo

    show(pl.DataFrame({"dataset": [dataset], "file": [str(zoo.fetch_dataset(dataset))]}), as_json)


@zoo_app.command("publish")
def zoo_publish(
    selection: Annotated[str, typer.Argument(help="SQL query that returns model_id, in quotes.")],
    to: Annotated[Path, typer.Option(help="Folder to write owner/name/ repositories to.")],
    lake: LakeFolder = DEFAULT_LAKE,
    license_id: Annotated[
        str | None,
        typer.Option("--license", help="Licence that the cards state, e.g. cc-by-4.0; none without it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write models as model repositories: config.json, model.safetensors and a model card each."""
    import zoo

    with open_lake(lake, read_only=True) as opened:
        written = zoo.publish_repositories(opened, selection, to, license_id=license_id)
    show(pl.DataFrame({"repositories": [written], "folder": [str(to)]}), as_json)


@app.command()
def soup(
    selection: Selection,
    lake: LakeFolder = DEFAULT_LAKE,
    method: Annotated[SoupMethod, typer.Option(help="Average all, or only those that help.")] = SoupMethod.GREEDY,
    force: Annotated[bool, typer.Option("--force", help="Average even where that is possible but unwise.")] = False,
    as_json: AsJson = False,
) -> None:
    """Average models into one, write it to the lake, and compare it with its ingredients."""
    import learners

    cook = {SoupMethod.GREEDY: learners.greedy_soup, SoupMethod.UNIFORM: learners.uniform_soup}[method]
    with open_lake(lake) as opened:
        made = cook(opened, selection, force=force)
    for warning in made.warnings:
        say(f"unwise, but forced: {warning}")
    say(f"{made.model_id}: {len(made.ingredients)} of {len(made.ingredients) + len(made.left_out)} models")
    show(made.comparison, as_json)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="Any query that reads, in quotes; start with the view models.")],
    lake: LakeFolder = DEFAULT_LAKE,
    rows: Annotated[int, typer.Option(min=0, help="Rows to print as a table; 0 for all.")] = ROWS_SHOWN,
    as_json: AsJson = False,
) -> None:
    """Ask the lake in SQL."""
    with open_lake(lake, read_only=True) as opened:
        show(opened.sql(query), as_json, rows)


@app.command()
def coverage(lake: LakeFolder = DEFAULT_LAKE, as_json: AsJson = False) -> None:
    """Show which share of the mined models lacks which field."""
    with open_lake(lake, read_only=True) as opened:
        show(opened.sql("SELECT * FROM coverage ORDER BY hub, missing_share DESC, field"), as_json, rows=0)


@app.command()
def lineage(
    model: Annotated[str, typer.Argument(help="Its model_id, e.g. huggingface:google/vit-base-patch16-224.")],
    lake: LakeFolder = DEFAULT_LAKE,
    up: Annotated[int | None, typer.Option(min=0, help="Steps to go to its ancestors; all without it.")] = None,
    down: Annotated[int | None, typer.Option(min=0, help="Steps to go to its descendants; all without it.")] = None,
    to: Annotated[Path | None, typer.Option(help="Draw the family into this .svg or .html file.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows to print as a table; 0 for all.")] = ROWS_SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show which models a model comes from, and which come from it."""
    import learners

    with open_lake(lake, read_only=True) as opened:
        family = learners.lineage_graph(opened, model, up=up, down=down)
    if to is None:
        show(learners.family_table(family), as_json, rows)
    else:
        written = learners.draw_family(family, to)
        show(pl.DataFrame({"models": [len(family)], "drawing": [str(written)]}), as_json)


@app.command()
def report(
    lake: LakeFolder = DEFAULT_LAKE,
    to: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write everything in the lake as one HTML page with pictures that opens without internet."""
    import learners

    with open_lake(lake, read_only=True) as opened:
        written = learners.report(opened, to)
    show(pl.DataFrame({"report": [str(written)]}), as_json)


@app.command()
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


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the demo's lake, repositories and report.")] = Path("demo"),
    endpoint: Annotated[str | None, typer.Option(help="URL of the hub to mine.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Mine, train, learn and report: every room of weightlake once, in under five minutes."""
    import weightlake_demo

    with progress_bar(quiet) as progress:
        result = weightlake_demo.run(folder, endpoint=endpoint, offline=offline, progress=progress, say=say)
    show(result.summary, as_json)
    if not as_json:
        typer.echo(f"\nReport: {result.report}\n\nTry next:")
        for query in result.queries:
            typer.echo(f'  weightlake sql --lake {result.lake} "{query}"')


@app.callback(invoke_without_command=True)
def options(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Options that come before the command."""
    if show_version:
        typer.echo(f"weightlake {version('weightlake')}")
        raise typer.Exit


def main() -> None:
    """Run the command line: 0 for success, 2 for the user's mistake, 1 for the outside world, never a traceback."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            fail(STOPPED, INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        fail(error.format_message(), error.exit_code)
    except WeightlakeError as error:
        fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        fail(STOPPED, INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fail(f"{error.filename or 'the system'}: {error.strerror or error}", 1)


if __name__ == "__main__":
    main()
