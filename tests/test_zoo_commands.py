"""The zoo's commands by hand: refusals leave nothing behind, lists fit a terminal, and what they name can be built."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from schemas import Lake, UsageError, open_lake
from tests.conftest import ROOT
from tests.test_command_line import Run, one_line, run
from tests.tiny_population import write_images
from zoo import build, publish_population
from zoo.architectures import ARCHITECTURES
from zoo.augmentation import AUGMENTATIONS
from zoo.grid import Grid
from zoo.optimise import OPTIMIZERS
from zoo.precision import PRECISIONS
from zoo.recipe import Recipe, load_recipe, with_fields
from zoo.schedule import SCHEDULES

__all__ = ["run"]  # pytest finds the fixture here

TERMINAL = 100
RECIPE = """
name = "{name}"
architecture = "{architecture}"
dataset = "npz:images.npz"
epochs = 1
{more}
grid = {{width = 2, batch_size = {batch_size}, learning_rate = 0.1, seeds = 1}}
"""


def write_recipe(name: str, architecture: str = "mlp", batch_size: int = 8, more: str = "") -> None:
    text = RECIPE.format(name=name, architecture=architecture, batch_size=batch_size, more=more)
    Path(f"{name}.toml").write_text(text)


def test_the_page_on_recipes_names_every_key_and_every_choice() -> None:
    page = (ROOT / "docs" / "add_a_recipe.md").read_text()
    for key in {*Recipe.model_fields, *Grid.model_fields} - {"name", "grid"}:
        assert f"`{key}`" in page, key
    for choices in (ARCHITECTURES, SCHEDULES, OPTIMIZERS, AUGMENTATIONS, PRECISIONS):
        assert [name for name in choices if f"`{name.removesuffix('-groupnorm')}`" not in page] == []


@pytest.mark.parametrize("scale", [(), ("--scale", "tiny")])
def test_the_list_of_recipes_fits_a_terminal_and_names_what_can_be_built(run: Run, scale: tuple[str, ...]) -> None:
    said = run("zoo", "recipes", *scale)
    assert max(map(len, said.out.splitlines())) <= TERMINAL
    whole = json.loads(run("zoo", "recipes", *scale, "--json").out)
    named = [line.split()[0] for line in said.out.splitlines()[3:] if line.strip()]
    assert named == [row["recipe"] for row in whole]
    for row in whole:
        recipe = load_recipe(row["recipe"])
        assert (recipe.members, recipe.epochs) == (row["members"], row["epochs"])


def test_a_name_of_the_list_at_tiny_scale_is_built(run: Run) -> None:
    built = run("zoo", "build", "digits-tiny@tiny", "--lake", "lake", "--json", "--quiet")
    assert json.loads(built.out)[0]["state"] == "complete"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dataset", "npz:absent.npz"), "dataset absent.npz does not exist"),
        (("--precision", "float8"), "precision = 'float8': expected one of: bfloat16"),
        (("--backend", "lanes", "--precision", "bfloat16"), "backend 'lanes': lanes compute in the type"),
        pytest.param(
            ("--device", "cuda"),
            "device 'cuda': torch finds no GPU here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_build_that_is_refused_leaves_no_lake(run: Run, options: tuple[str, ...], message: str) -> None:
    write_images(Path("images.npz"))
    write_recipe("small", "cnn")
    refused = run("zoo", "build", "small.toml", "--lake", "new/lake", *options)
    assert (refused.code, refused.out) == (2, "")
    assert message in one_line(refused.err)
    assert not Path("new").exists()


def test_a_plan_leaves_no_lake_and_a_build_makes_it(run: Run) -> None:
    write_images(Path("images.npz"))
    write_recipe("small")
    assert json.loads(run("zoo", "build", "small.toml", "--dry-run", "--json").out)[0]["members"] == 1
    assert not Path("lake").exists()
    assert run("zoo", "build", "small.toml", "--quiet").code == 0
    assert open_lake("lake", read_only=True).sql("SELECT state FROM population").item() == "complete"


def test_a_child_that_cannot_be_is_refused_before_its_parent_is_trained(run: Run) -> None:
    write_images(Path("images.npz"))
    write_recipe("parent")
    write_recipe("child", batch_size=43, more='parent = "parent.toml"')
    refused = run("zoo", "build", "child.toml")
    assert "batch_size = 43: dataset npz:images.npz has 42 training samples" in one_line(refused.err)
    assert not Path("lake").exists()


@pytest.mark.parametrize(
    ("architecture", "dataset", "message"),
    [
        ("cnn", "npz:images.npz", "(mlp on npz:images.npz, here cnn on npz:images.npz)"),
        ("mlp", "digits", "linear1.weight is [2, 64] there and [2, 81] here"),
        ("mlp", "npz:images.npz", "linear1.weight is [2, 81] there and [2, 64] here"),
    ],
)
def test_a_parent_of_other_shapes_is_refused_before_it_is_trained(
    run: Run, architecture: str, dataset: str, message: str
) -> None:
    write_images(Path("images.npz"), side=8)
    write_images(Path("other.npz"), side=9)
    for name, kind, data in (("parent", "mlp", dataset), ("child", architecture, "npz:images.npz")):
        write_recipe(name, kind, more='parent = "parent.toml"' if name == "child" else "")
        text = Path(f"{name}.toml").read_text().replace("npz:images.npz", data)
        if ("81] here" in message and name == "child") or ("81] there" in message and name == "parent"):
            text = text.replace(data, "npz:other.npz")
        Path(f"{name}.toml").write_text(text)
    refused = run("zoo", "build", "child.toml")
    assert refused.code == 2
    assert "recipe child: its parent parent.toml has other shapes, " in one_line(refused.err)
    assert message in one_line(refused.err)
    assert not Path("lake").exists()


def test_a_parent_on_the_same_dataset_gets_the_other_one_too(run: Run) -> None:
    Path("data").mkdir()
    write_images(Path("data/mine.npz"))
    write_recipe("parent")
    write_recipe("child", more='parent = "parent.toml"')
    options = ("child.toml", "--dataset", "npz:data/mine.npz", "--json", "--quiet")
    planned = json.loads(run("zoo", "build", *options, "--dry-run").out)
    assert [row["population_id"].split("-")[0] for row in planned] == ["parent", "child"]
    assert [row["members"] for row in planned] == [1, 1]
    assert not Path("lake").exists()
    assert run("zoo", "build", *options).code == 0
    lake = open_lake("lake", read_only=True)
    found = lake.sql("SELECT population_id, dataset FROM population ORDER BY created_at").rows()
    assert found == [(row["population_id"], "npz:data/mine.npz") for row in planned]
    assert {row["state"] for row in json.loads(run("zoo", "status", "--json").out)} == {"complete"}
    publish_population(lake, "child", "published", license_id="cc0-1.0")
    said = json.loads(pl.read_parquet("published/populations/*.parquet")["recipe"].item())
    assert (said["dataset"], said["parent"]) == ("npz:mine.npz", "parent.toml@dataset=npz:mine.npz")


def test_a_shipped_family_is_built_from_files() -> None:
    recipe = with_fields(load_recipe("cifar10-finetunes"), dataset="npz:some.npz")
    assert recipe.ancestor
    assert recipe.ancestor.dataset == "npz:some.npz"
    assert with_fields(recipe, dataset="npz:others.npz").parent == "cifar10-ancestor@dataset=npz:others.npz"
    assert Recipe.model_validate(recipe.model_dump(mode="json"), strict=False).sha256 == recipe.sha256
    youngest = with_fields(load_recipe("digits-grandchildren@tiny"), dataset="npz:some.npz")
    assert youngest.ancestor
    assert youngest.ancestor.ancestor
    assert youngest.ancestor.ancestor.dataset == "npz:some.npz"


def test_a_parent_that_is_not_there_is_named_with_its_child(run: Run) -> None:
    write_recipe("child", more='parent = "nothing"')
    refused = run("zoo", "build", "child.toml")
    assert "recipe child: parent = 'nothing': recipe 'nothing' is no .toml file: expected one of" in one_line(
        refused.err
    )


def test_a_lake_that_was_lost_is_made_again_of_what_lies_in_files(run: Run) -> None:
    write_images(Path("images.npz"))
    write_recipe("small")
    assert run("zoo", "build", "small.toml", "--quiet").code == 0
    Path("lake/lake.duckdb").unlink()
    assert run("zoo", "build", "small.toml", "--quiet").code == 0
    assert open_lake("lake").sql("SELECT count(*) FROM checkpoint").item() == 1


def test_choices_of_the_command_line_are_shown_as_what_was_typed(lake: Lake) -> None:
    from commands.zoo import Backend

    with pytest.raises(UsageError, match=r"backend 'compiled': torch\.compile"):
        build(lake, "pinn-convection@tiny", device="cpu", backend=Backend.COMPILED)
