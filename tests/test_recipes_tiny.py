"""Every shipped recipe built at tiny scale, with its rows and weights, and fine-tunes with their parents."""

from pathlib import Path

import pytest
import torch

from learners import uniform_soup
from schemas import Lake, UsageError, examine, open_lake
from tests.tiny_population import START, built, tiny_recipe
from zoo.catalogue import recipes
from zoo.construction import Construction
from zoo.cost import cost
from zoo.load import load_module, load_population, load_weights
from zoo.manner import Manner
from zoo.recipe import Recipe, load_recipe, recipe_names, with_fields
from zoo.scale import stand_in
from zoo.work import perform

TINY = {load_recipe(f"{name}@tiny").sha256: f"{name}@tiny" for name in recipe_names()}
"""One of those that become the same at tiny scale stands for all."""


def built_in_this_process(lake: Lake, recipe: Recipe) -> str:
    """Do what `build` does, without its worker processes, which take longer to start than this takes in all."""
    if recipe.ancestor:
        built_in_this_process(lake, recipe.ancestor)
    construction = Construction(lake, recipe, "cpu", lambda: START, Manner())
    construction.begin()
    for group in construction.missing:
        perform(construction.task(group), lambda epoch: None)
    construction.look()
    construction.register(None)
    return recipe.population_id


@pytest.mark.parametrize("name", TINY.values())
def test_each_recipe_runs_at_tiny_scale(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    lake = open_lake(tmp_path / "lake")
    population = built_in_this_process(lake, recipe)
    states = lake.sql(
        "SELECT state, count(*), bool_and(optimizer IS NOT NULL) FROM member WHERE population_id = $id GROUP BY ALL",
        id=population,
    ).rows()
    assert sum(count for _, count, _ in states) == recipe.members
    assert "trained" in [state for state, _, _ in states]
    assert all(known for *_, known in states)
    assert lake.sql("SELECT state FROM population WHERE population_id = $id", id=population).item() == "complete"
    assert examine(lake).is_empty()
    first = lake.sql("SELECT model_id FROM member WHERE population_id = $id ORDER BY ALL LIMIT 1", id=population).item()
    assert load_module(lake, first).state_dict().keys() == load_weights(lake, first).keys()
    metrics = lake.sql("SELECT DISTINCT metric FROM training WHERE model_id = $id ORDER BY ALL", id=first)
    second = "squared_error" if recipe.architecture == "pinn" else "accuracy"
    assert set(metrics["metric"]) <= {second, "loss"}


def test_tiny_keeps_the_architecture_and_the_axes() -> None:
    for name in recipe_names():
        whole, small = load_recipe(name), load_recipe(f"{name}@tiny")
        assert (whole.architecture, whole.schedule, whole.augmentation) == (
            small.architecture,
            small.schedule,
            small.augmentation,
        )
        for axis, values in small.grid.model_dump().items():
            of_whole = getattr(whole.grid, axis)
            if axis not in ("batch_size", "width"):
                a_whole = axis == "data_fraction" and values == (1.0,)  # a small share of made data is nothing
                assert set(values) <= set(of_whole) or axis == "epochs" or a_whole
            assert (len(values) > 1) == (len(of_whole) > 1)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("resnet18-cifar10", 8 * 8 * 3),
        ("resnet50-tinyimagenet", 8 * 8 * 3),
        ("vit-cifar100", 7 * 7 * 3),
        ("gpt2-openwebtext", 264),
        ("pinn-convection", 700),
        ("taxonomy-width-batch", 13 * 13 * 5),
        ("mnist-cnn-seeds", 1000),
        ("mnist-cnn-grid", 4 * 2 * 4 * 2 * 2 * 2 * 10),
        ("digits-grandchildren", 3 * 4),
    ],
)
def test_recipes_have_the_published_number_of_members(name: str, members: int) -> None:
    assert load_recipe(name).members == members


@pytest.mark.data
def test_the_taxonomys_grid_is_the_published_one(data_folder: Path) -> None:
    import polars as pl

    table = pl.read_csv(data_folder / "metrics" / "taxonomy_2021_resnet18_cifar10.csv")
    grid = load_recipe("taxonomy-width-batch").grid
    assert list(grid.width) == sorted(table["width"].unique())
    assert list(grid.batch_size) == sorted(table["batch_size"].unique())
    assert list(grid.seeds) == sorted(table["seed"].unique())


def test_the_list_says_what_recipes_cost() -> None:
    table = {row["recipe"]: row for row in recipes().iter_rows(named=True)}
    assert table.keys() == set(recipe_names())
    assert table["mnist-cnn-seeds"]["parameters"] == "2,464"
    assert table["cifar10-ancestor"]["parameters"] == "11,173,962"
    # 0.5558 * 10^9 multiplications of a ResNet-18 on 32 x 32 (He et al.'s layers), two operations each,
    # three passes, 42,500 samples, 100 epochs
    assert table["cifar10-ancestor"]["petaflop"] == pytest.approx(2 * 0.5554e9 * 3 * 42_500 * 100 / 1e15, rel=1e-3)
    assert table["digits-data"]["further_axes"] == "seeds, data_fraction"
    assert set(recipes("tiny")["epochs"]) == {2}


def test_nothing_is_estimated_of_a_file(images: Path) -> None:
    assert cost(tiny_recipe(images)) is None


def test_the_twin_of_a_dataset_is_of_its_kind() -> None:
    assert stand_in("ylecun/mnist") == "patterns:1x8x8:4"
    assert stand_in("npz:some.npz") == "patterns:3x8x8:4"
    assert stand_in("text:some.txt") == "sequences:16:32"


def test_another_dataset_makes_another_population() -> None:
    recipe = load_recipe("mnist-cnn-seeds")
    other = with_fields(recipe, dataset="npz:mnist.npz")
    assert (other.dataset, other.sha256 == recipe.sha256) == ("npz:mnist.npz", False)
    with pytest.raises(UsageError, match="a cnn needs images, these are tokens"):
        with_fields(recipe, dataset="text:mnist.txt")


def test_a_tree_of_fine_tunes_grows_from_its_parents(tmp_path: Path) -> None:
    lake, recipe = open_lake(tmp_path / "lake"), load_recipe("digits-grandchildren@tiny")
    population = built(lake, recipe)
    assert recipe.ancestor
    assert recipe.ancestor.ancestor
    parents = dict(
        lake.sql("SELECT child_id, parent_id FROM lineage WHERE relation = 'finetune' ORDER BY ALL").iter_rows()
    )
    assert len(parents) == 2 + 4
    root = f"zoo:{recipe.ancestor.ancestor.population_id}/w8-b8-s0"
    grandchildren = [child for child in parents if child.startswith(f"zoo:{population}/")]
    assert sorted({parents[child] for child in grandchildren}) == sorted(set(parents) - set(grandchildren))
    assert {parents[parents[child]] for child in grandchildren} == {root}
    for child, parent in parents.items():
        begun, ended = load_weights(lake, child, 0), load_weights(lake, parent)
        assert all(torch.equal(begun[name], tensor) for name, tensor in ended.items())
    starts = lake.sql("SELECT child_id, parent_id FROM lineage WHERE relation = 'initialised-from'").rows()
    assert len({start for child, start in starts if child in grandchildren}) == 2
    assert len(load_population(lake, "SELECT model_id FROM member WHERE population_id = $id", id=population)) == 4


def test_a_soup_of_what_has_no_accuracy_is_refused(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    built_in_this_process(lake, load_recipe("pinn-convection@tiny"))
    with pytest.raises(UsageError, match="soups are judged by accuracy, which a pinn does not have"):
        uniform_soup(lake, "SELECT model_id FROM member WHERE state = 'trained'", force=True)


def test_a_parent_of_other_shapes_is_refused(lake: Lake, images: Path, tmp_path: Path) -> None:
    parent = tiny_recipe(images, width="3", epochs=1, settings="")
    text = Path("parent.toml")
    (tmp_path / text).write_text(
        f'name = "parent"\narchitecture = "mlp"\ndataset = "{parent.dataset}"\nepochs = 1\n'
        "[grid]\nwidth = 3\nbatch_size = 8\nseeds = 1\nlearning_rate = 0.1\n"
    )
    child = parent.model_dump() | {"name": "child", "parent": str(tmp_path / text), "checkpoint_epochs": (0,)}
    recipe = Recipe.model_validate(child)
    assert built(lake, recipe) == recipe.population_id
    narrow = Recipe.model_validate(child | {"grid": {**child["grid"], "width": (4,)}})
    with pytest.raises(UsageError, match="has no members of width 4"):
        built(lake, narrow)
    other = Recipe.model_validate(child | {"architecture": "cnn"})
    with pytest.raises(UsageError, match=r"has other shapes, conv1\.bias is missing there"):
        built(lake, other)
