"""The zoo's commands: recipes in, populations out."""

from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Choice, Device, LakeFolder, Quiet
from commands.importing import import_zoo
from commands.publishing import export, publish
from commands.terminal import progress_bar, say, show
from schemas import open_lake
from schemas.lake import lake_to_be

if TYPE_CHECKING:
    from zoo.manner import How

zoo_commands = typer.Typer(
    help="Train populations of networks from recipes.", no_args_is_help=True, rich_markup_mode=None
)


class Scale(Choice):
    """Sizes of a recipe beside its own."""

    TINY = "tiny"


class Backend(Choice):
    """Ways to train a group, the same up to rounding."""

    AUTO = "auto"
    SEQUENTIAL = "sequential"
    VMAP = "vmap"
    COMPILED = "compiled"
    LANES = "lanes"


class Engine(Choice):
    """Where groups are trained."""

    LOCAL = "local"
    RAY = "ray"


@zoo_commands.command("build")
def build(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a TOML file.")],
    lake: LakeFolder = DEFAULT_LAKE,
    device: Annotated[Device, typer.Option(help="Where to train; auto: on a GPU if there is one.")] = Device.AUTO,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; one a core or GPU without it.")] = None,
    engine: Annotated[Engine, typer.Option(help="Processes on this machine, or a Ray cluster.")] = Engine.LOCAL,
    backend: Annotated[Backend, typer.Option(help="How to train; auto: the fastest for each group.")] = Backend.AUTO,
    precision: Annotated[str | None, typer.Option(help="bfloat16: another population, whose passes are in it.")] = None,
    scale: Annotated[Scale | None, typer.Option(help="tiny: the recipe's shape on made data, in seconds.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="In place of the recipe's, e.g. npz:PATH; its parents' too.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it takes, parents too, and stop.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe's population; what is already trained is not trained again, and a killed build goes on."""
    import zoo
    from zoo.building import plans
    from zoo.recipe import load_recipe, with_fields
    from zoo.scale import scaled

    checked = load_recipe(scaled(recipe, scale))
    checked = with_fields(checked, dataset=dataset, precision=precision)
    with lake_to_be(lake) as opened, progress_bar(quiet) as progress:
        how: How = {
            "device": device,
            "workers": workers,
            "engine": engine,
            "backend": backend,
        }
        if dry_run:
            show(pl.concat([each.table() for each in plans(opened, checked, **how)]), as_json)
            return
        population_id = zoo.build(
            opened,
            checked,
            progress=progress,
            planned=None if quiet else lambda plan: say(plan.in_words()),
            **how,
        )
        show(zoo.populations(opened, population_id), as_json)


@zoo_commands.command("status")
def status(
    population: Annotated[str | None, typer.Argument(help="Its name or population_id, for a row a group.")] = None,
    lake: LakeFolder = DEFAULT_LAKE,
    as_json: AsJson = False,
) -> None:
    """Show how far builds are: groups done, running and failed, seconds left, bytes needed and free."""
    import zoo

    with open_lake(lake, read_only=True) as opened:
        found = zoo.status(opened, population)
    show(found if as_json else _with_units(found), as_json)


def _with_units(standing: pl.DataFrame) -> pl.DataFrame:
    """Bytes as people say them."""
    from zoo.publishing.dataset_card import size_in_words

    return standing.with_columns(
        pl.col(name).map_elements(size_in_words, return_dtype=pl.String)
        for name in standing.columns
        if name.startswith("bytes_")
    ).rename(lambda name: name.removeprefix("bytes_"))


@zoo_commands.command("list")
def list_populations(lake: LakeFolder = DEFAULT_LAKE, as_json: AsJson = False) -> None:
    """List the populations of the lake."""
    import zoo

    with open_lake(lake, read_only=True) as opened:
        show(zoo.populations(opened), as_json)


@zoo_commands.command("recipes")
def recipes(
    scale: Annotated[Scale | None, typer.Option(help="tiny: the small form of each recipe.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the recipes that weightlake ships, with members, parameters and an estimate of their cost."""
    import zoo

    if as_json:
        show(zoo.recipes(scale), as_json)
        return
    show(zoo.recipes_in_brief(scale), as_json)
    say("hours: of a device that does 10^12 floating point operations a second")
    say("--json gives batch sizes, further axes, epochs and arithmetic, too")


@zoo_commands.command("fetch")
def fetch(
    dataset: Annotated[str, typer.Argument(help="A dataset of the Hub that recipes name, e.g. uoft-cs/cifar10.")],
    as_json: AsJson = False,
) -> None:
    """Fetch a dataset from the Hub and keep it as tensors, in one file that other machines can use."""
    import zoo

    show(pl.DataFrame({"dataset": [dataset], "file": [str(zoo.fetch_dataset(dataset))]}), as_json)


zoo_commands.command("publish")(publish)
zoo_commands.command("export")(export)
zoo_commands.command("import")(import_zoo)
