"""Publishing: repositories that hubs, people and our own miner can read."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from learners.soups.soup import uniform_soup
from miners.mining import mine
from schemas import Lake, OutsideError, UsageError, open_lake
from tests.tiny_population import tiny_recipe
from zoo.building import build
from zoo.load import describe, load_module, load_population, load_weights
from zoo.publishing.repositories import publish_repositories, repository_folder

ALL = "SELECT model_id FROM models WHERE origin IN ('trained', 'made')"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A population of three learning rates, one of which diverges, and a soup of two of its members."""
    folder = tmp_path_factory.mktemp("publish")
    lake = open_lake(folder / "lake")
    recipe = tiny_recipe(folder, width="3", learning_rate="[0.01, 1e30]", settings="init_seed = 1")
    build(lake, recipe)
    uniform_soup(lake, "SELECT model_id FROM member WHERE batch_size = 4 AND state = 'trained'")
    return lake


@pytest.fixture(scope="module")
def published(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repositories")
    assert publish_repositories(lake, ALL, folder) == 8 + 1
    return folder


def place_of(lake: Lake, published: Path, model_id: str) -> Path:
    place = lake.sql("SELECT owner || '/' || name FROM model WHERE model_id = $model_id", model_id=model_id)
    return published / str(place.item())


def some_model(lake: Lake, condition: str) -> str:
    found: str = lake.sql(f"SELECT min(model_id) FROM models WHERE {condition}").item()
    return found


def test_the_weights_are_the_models(lake: Lake, published: Path) -> None:
    for model_id in lake.sql(ALL)["model_id"]:
        expected = load_weights(lake, model_id)
        found = load_file(place_of(lake, published, model_id) / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


def test_the_card_states_the_test_accuracy_as_hubs_read_it(lake: Lake, published: Path) -> None:
    model_id = some_model(lake, "state = 'trained'")
    card = ModelCard.load(place_of(lake, published, model_id) / "README.md")
    (result,) = card.data.eval_results or []
    accuracy = lake.sql("SELECT test_accuracy FROM models WHERE model_id = $model_id", model_id=model_id).item()
    assert result.metric_value == pytest.approx(accuracy, abs=1e-6)
    assert (result.task_type, result.dataset_name, result.dataset_split) == ("image-classification", "images", "test")
    assert (card.data.license, card.data.library_name) == (None, "weightlake")
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.datasets == ["images"]


def test_every_section_of_the_card_is_filled(lake: Lake, published: Path) -> None:
    for model_id in lake.sql(ALL)["model_id"]:
        text = ModelCard.load(place_of(lake, published, model_id) / "README.md").text
        sections = text.split("\n## ")[1:]
        assert len(sections) == 6
        for section in sections:
            heading, _, body = section.partition("\n")
            assert len(body.split()) >= 2, f"{heading} of {model_id} is empty"
        assert "None" not in text


def test_a_diverged_model_says_so_and_claims_no_accuracy(lake: Lake, published: Path) -> None:
    card = ModelCard.load(place_of(lake, published, some_model(lake, "state = 'diverged'")) / "README.md")
    assert card.data.eval_results is None
    assert "The training diverged" in card.text
    assert "Not evaluated." in card.text


def test_a_soup_names_its_ingredients(lake: Lake, published: Path) -> None:
    model_id = some_model(lake, "origin = 'made'")
    card = ModelCard.load(place_of(lake, published, model_id) / "README.md")
    parents = lake.sql("SELECT parent_id FROM lineage WHERE child_id = $id ORDER BY ALL", id=model_id)["parent_id"]
    assert card.data.base_model == [parent.removeprefix("zoo:") for parent in parents]
    assert card.data.to_dict()["base_model_relation"] == "merge"
    assert all(f"`{parent}`" in card.text for parent in parents)


def test_the_configuration_names_the_class(lake: Lake, published: Path) -> None:
    config = json.loads((place_of(lake, published, some_model(lake, "state = 'trained'")) / "config.json").read_text())
    assert config["architectures"] == ["MLP"]
    assert config["model_type"] == "weightlake-mlp"
    assert config["weightlake"]["input_shape"] == [1, 8, 8]


def test_what_is_published_can_be_mined_described_stacked_and_run(lake: Lake, published: Path, tmp_path: Path) -> None:
    other = open_lake(tmp_path / "other")
    crawl = mine(other, "local", folder=published)
    assert (crawl.rows_stored, crawl.failures) == (9, 0)
    model_id = some_model(lake, "state = 'trained'")
    mined_id = "local:" + model_id.removeprefix("zoo:")
    assert describe(other, mined_id) == describe(lake, model_id)
    x = torch.rand((5, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_module(other, mined_id)(x), load_module(lake, model_id)(x))
    population = load_population(other, "SELECT model_id FROM model ORDER BY model_id")
    assert len(population) == 9
    evaluations = other.sql("SELECT dataset, split, metric, value FROM evaluation WHERE model_id = $id", id=mined_id)
    expected = lake.sql("SELECT round(test_accuracy, 6) FROM models WHERE model_id = $id", id=model_id).item()
    assert evaluations.rows() == [("images", "test", "accuracy", expected)]


def test_a_mined_soup_comes_from_the_repositories_beside_it(lake: Lake, published: Path, tmp_path: Path) -> None:
    other = open_lake(tmp_path / "other")
    for _ in range(2):
        mine(other, "local", folder=published)
        parents = other.sql("SELECT parent_id FROM lineage ORDER BY ALL")["parent_id"].to_list()
        original = lake.sql("SELECT parent_id FROM lineage WHERE relation = 'soup' ORDER BY ALL")["parent_id"]
        assert parents == [f"local:{parent.removeprefix('zoo:')}" for parent in original]
        assert other.sql("SELECT count(*) AS n FROM models SEMI JOIN lineage ON model_id = parent_id")["n"].item() == 2


def states(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_publishing_again_writes_only_what_differs(lake: Lake, tmp_path: Path) -> None:
    model_id = some_model(lake, "state = 'trained'")
    sql = "SELECT $model_id AS model_id"
    assert publish_repositories(lake, sql, tmp_path, model_id=model_id) == 1
    before = states(tmp_path)
    assert publish_repositories(lake, sql, tmp_path, model_id=model_id) == 1
    assert states(tmp_path) == before
    place = place_of(lake, tmp_path, model_id)
    (place / "README.md").write_text("spoiled")
    (place / "config.json").unlink()
    publish_repositories(lake, sql, tmp_path, model_id=model_id)
    after = states(tmp_path)
    assert after.keys() == before.keys()
    assert {path.name for path in after if after[path] != before[path]} == {"README.md", "config.json"}
    assert (place / "README.md").read_text() != "spoiled"


def test_a_licence_is_stated_as_asked(lake: Lake, tmp_path: Path) -> None:
    sql = f"{ALL} LIMIT 1"
    publish_repositories(lake, sql, tmp_path / "a", license_id="mit")
    publish_repositories(lake, sql, tmp_path / "b")
    (stated,), (silent,) = (list((tmp_path / name).rglob("README.md")) for name in ("a", "b"))
    assert ModelCard.load(stated).data.license == "mit"
    assert ModelCard.load(silent).data.license is None


def test_epochs_are_refused_since_a_repository_holds_final_weights(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave the column epoch out"):
        publish_repositories(lake, "SELECT model_id, epoch FROM checkpoint WHERE epoch = 0", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_selection_of_nothing_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the query selects no model"):
        publish_repositories(lake, f"{ALL} AND false", tmp_path)


@pytest.mark.parametrize(("owner", "name"), [("..", "x"), ("x", ".."), ("a/b", "x"), ("x", "../../y")])
def test_a_name_never_leads_out_of_the_folder(lake: Lake, tmp_path: Path, owner: str, name: str) -> None:
    with pytest.raises(UsageError, match="a repository cannot be called"):
        repository_folder(tmp_path, owner, name)


def test_a_folder_that_cannot_be_written_is_said(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutsideError, match=r"cannot write .*file"):
        publish_repositories(lake, f"{ALL} LIMIT 1", tmp_path / "file")
