"""Descriptions: how a model is built and what it was trained on, and running it from that."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from schemas import DataError, Lake, UsageError, open_lake
from tests.mined_models import add_model, repository
from tests.tiny_population import tiny_recipe
from zoo.building import build
from zoo.datasets import load_dataset
from zoo.load import describe, describe_all, load_module, load_weights
from zoo.recipe import Recipe


def test_a_trained_model_is_described_from_its_population(undisturbed: Lake, recipe: Recipe) -> None:
    model_id = f"zoo:{recipe.population_id}/w3-b4-s1"
    description = describe(undisturbed, model_id)
    assert (description.architecture, description.width, description.classes) == ("mlp", 3, 3)
    assert (description.input_shape, description.split_seed) == ((1, 8, 8), 0)
    assert description.dataset == undisturbed.sql("SELECT dataset FROM population").item()
    assert description.init == describe(undisturbed, f"zoo:{recipe.population_id}/w3-b8-s1").init
    assert description.init != describe(undisturbed, f"zoo:{recipe.population_id}/w3-b8-s0").init


def test_a_description_needs_nothing_but_the_tables(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    population_id = build(lake, tiny_recipe(tmp_path, width="3", settings="split_seed = 4"))
    shutil.rmtree(lake.weights.folder)
    found = describe(lake, f"zoo:{population_id}/w3-b4-s1")
    assert (found.classes, found.input_shape, found.split_seed) == (3, (1, 8, 8), 4)


@pytest.mark.parametrize("model_id", [5, None, ["zoo:a/b"]])
def test_what_is_no_text_names_no_model(undisturbed: Lake, model_id: object) -> None:
    for ask in (describe, load_weights):
        with pytest.raises(UsageError, match=r"model_id .*: expected a text such as 'huggingface:owner/name'"):
            ask(undisturbed, model_id)  # type: ignore[arg-type] # wrong on purpose


def test_descriptions_come_in_order(undisturbed: Lake, recipe: Recipe) -> None:
    ids = [f"zoo:{recipe.population_id}/{name}" for name in ("w4-b4-s0", "w3-b4-s0", "w4-b4-s0")]
    assert [description.width for description in describe_all(undisturbed, ids)] == [4, 3, 4]


def test_a_made_model_is_described_by_its_ingredients(copied: Lake, recipe: Recipe) -> None:
    soup, of_soups = "made:soup/a", "made:soup/b"
    with copied.write() as transaction:
        transaction.append("product", pl.DataFrame({"model_id": [soup, of_soups], "method": "uniform_soup"}))
        parents = {soup: f"zoo:{recipe.population_id}/w3-b4-s0", of_soups: soup}
        lineage = {"child_id": list(parents), "parent_id": list(parents.values()), "relation": "soup"}
        transaction.append("lineage", pl.DataFrame(lineage))
    assert describe(copied, soup) == describe(copied, f"zoo:{recipe.population_id}/w3-b4-s0")
    assert describe(copied, of_soups) == describe(copied, soup)


def test_a_product_of_itself_is_no_riddle_without_end(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append("product", pl.DataFrame({"model_id": ["made:soup/a"], "method": "uniform_soup"}))
        lineage = {"child_id": ["made:soup/a"], "parent_id": ["made:soup/a"], "relation": "soup"}
        transaction.append("lineage", pl.DataFrame(lineage))
    with pytest.raises(UsageError, match="nobody here knows how made:soup/a is built"):
        describe(lake, "made:soup/a")


@pytest.mark.parametrize("config", [None, "{}", '{"model_type": "bert"}', "no JSON", "[]"])
def test_a_model_of_another_library_is_not_described(lake: Lake, tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    add_model(lake, "local:x/m", tmp_path)
    with pytest.raises(UsageError, match="nobody here knows how local:x/m is built"):
        describe(lake, "local:x/m")


def test_a_damaged_configuration_of_ours_is_named(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"weightlake": {"architecture": "mlp"}}')
    add_model(lake, "local:x/m", tmp_path)
    with pytest.raises(DataError, match=r"config\.json is damaged: weightlake\.width: Field required"):
        describe(lake, "local:x/m")


def test_a_loaded_module_does_what_training_said(undisturbed: Lake, recipe: Recipe) -> None:
    model_id = f"zoo:{recipe.population_id}/w4-b4-s1"
    description = describe(undisturbed, model_id)
    test = load_dataset(description.dataset, description.split_seed).test
    with torch.no_grad():
        hits = load_module(undisturbed, model_id)(test.x).argmax(1) == test.y
    said = "SELECT value FROM training WHERE model_id = $model_id AND split = 'test' AND metric = 'accuracy'"
    assert hits.double().mean().item() == pytest.approx(undisturbed.sql(said, model_id=model_id).item())


def test_weights_of_another_architecture_are_refused(lake: Lake, tmp_path: Path) -> None:
    block = {"architecture": "mlp", "width": 3, "classes": 3, "input_shape": [1, 8, 8], "dataset": "d", "split_seed": 0}
    folder = repository(tmp_path / "m", {"a": torch.ones(2)})
    (folder / "config.json").write_text(json.dumps({"weightlake": block}))
    add_model(lake, "local:x/m", folder)
    with pytest.raises(DataError, match="the weights of local:x/m are not those of a mlp"):
        load_module(lake, "local:x/m")
