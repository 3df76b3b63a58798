"""The zoo's commands: recipes in, populations out."""

from enum import StrEnum
from typing import Annotated

import polars as pl
import typer

from commands.arguments import DEFAULT_LAKE, AsJson, Device, LakeFolder, Quiet
from commands.publishing import export, publish
from commands.terminal import progress_bar, show
from schemas import open_lake

zoo_commands = typer.Typer(
    help="Train populations of networks from recipes.", no_args_is_help=True, rich_markup_mode=None
)


class Scale(StrEnum):
    """Sizes of a recipe beside its own."""

    TINY = "tiny"


class Backend(StrEnum):
    """Ways to train a group, the same up to rounding."""

    AUTO = "auto"
    SEQUENTIAL = "sequential"
    VMAP = "vmap"
    LANES = "lanes"


@zoo_commands.command("build")
def build(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a TOML file.")],
    lake: LakeFolder = DEFAULT_LAKE,
    device: Annotated[Device, typer.Option(help="Where to train; auto: on a GPU if there is one.")] = Device.AUTO,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; one a core without it.")] = None,
    backend: Annotated[Backend, typer.Option(help="How to train; auto: the fastest for each group.")] = Backend.AUTO,
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
        population_id = zoo.build(opened, checked, device=device, workers=workers, backend=backend, progress=progress)
        show(zoo.populations(opened, population_id), as_json)


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

    show(zoo.recipes(scale), as_json, rows=0)


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
