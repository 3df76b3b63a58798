"""Builds: the rows and weights are those of the recipe and of the trainer, and what cannot be is refused."""

from pathlib import Path

import pytest
import torch

from schemas import DataError, Lake, UsageError, open_lake
from tests.tiny_population import START, built, files, rows, tiny_recipe, write_images
from zoo.building import build
from zoo.catalogue import populations
from zoo.datasets import load_dataset
from zoo.engines import Failed
from zoo.engines.attempt import attempt, outcome
from zoo.load import load_weights
from zoo.population import member
from zoo.recipe import Recipe
from zoo.task import Task, fingerprint
from zoo.train import initial_weights, train
from zoo.work import perform


def test_a_build_on_its_way_shows_in_the_lake(lake: Lake, recipe: Recipe) -> None:
    seen = []
    build(lake, recipe, workers=1, progress=lambda *_: seen.append(populations(lake).row(0, named=True)))
    assert (seen[0]["state"], seen[0]["trained"]) == ("building", 0)
    assert populations(lake)["state"].to_list() == ["complete"]


def test_the_rows_are_those_of_the_recipe(undisturbed: Lake, recipe: Recipe) -> None:
    population = undisturbed.sql("FROM population").row(0, named=True)
    assert population["population_id"] == recipe.population_id
    assert population["state"] == "complete"
    assert population["members"] == 8
    assert population["recipe_sha256"] == recipe.sha256
    assert population["created_at"] == START
    assert Recipe.model_validate_json(population["recipe"], strict=False) == recipe
    members = undisturbed.sql("SELECT width, batch_size, seed, state FROM member ORDER BY ALL").rows()
    assert members == [(w, b, s, "trained") for w in (3, 4) for b in (4, 8) for s in (0, 1)]
    model = undisturbed.sql("FROM model ORDER BY model_id").row(0, named=True)
    assert model["model_id"] == f"zoo:{recipe.population_id}/w3-b4-s0"
    assert (model["hub"], model["owner"], model["name"]) == ("zoo", recipe.population_id, "w3-b4-s0")
    assert model["parameters"] == 64 * 3 + 3 + 3 * 3 + 3 + 3 * 3 + 3
    assert (model["architecture"], model["task"]) == ("mlp", "image-classification")


@pytest.mark.parametrize("group", [0, 3])
def test_weights_and_curves_are_those_of_the_trainer(undisturbed: Lake, recipe: Recipe, group: int) -> None:
    splits = load_dataset(recipe.dataset, recipe.split_seed).splits
    expected = train(recipe.groups()[group], splits)
    for row, settings in enumerate(recipe.groups()[group].members):
        model_id = f"zoo:{recipe.population_id}/{settings.name}"
        for epoch in (0, 1, 3):
            weights = load_weights(undisturbed, model_id, epoch)
            for name, tensor in member(expected.checkpoints[epoch], row).items():
                assert torch.equal(weights[name], tensor)
        curve = undisturbed.sql(
            "SELECT value FROM training WHERE model_id = $model_id AND split = 'train' AND metric = 'loss' "
            "ORDER BY epoch",
            model_id=model_id,
        )
        assert curve["value"].to_list() == expected.curves["train", "loss"][row].tolist()


def test_curves_are_complete(undisturbed: Lake) -> None:
    counts = undisturbed.sql("SELECT split, metric, count(*) FROM training GROUP BY ALL ORDER BY ALL").rows()
    epochs = {"test": 1, "train": 3, "validation": 3}
    assert counts == [(s, m, 8 * epochs[s]) for s in sorted(epochs) for m in ("accuracy", "loss")]


def test_every_checkpoint_has_its_hash_and_one_is_final(undisturbed: Lake) -> None:
    shards = undisturbed.sql("SELECT DISTINCT shard, shard_sha256 FROM checkpoint").rows()
    assert len(shards) == 4 * 3
    for shard, digest in shards:
        undisturbed.weights.verify(shard, digest)
    assert undisturbed.sql("SELECT epoch, count(*) FROM checkpoint WHERE final GROUP BY ALL").rows() == [(3, 8)]


def test_lineage_names_the_initial_weights(undisturbed: Lake, recipe: Recipe) -> None:
    start = initial_weights(recipe.groups()[0], (1, 8, 8), 3)
    parents = dict(undisturbed.sql("SELECT child_id, parent_id FROM lineage").iter_rows())
    small, large = (f"zoo:{recipe.population_id}/w3-b{batch}-s1" for batch in (4, 8))
    assert parents[small] == f"init:{fingerprint(member(start, 1))}"
    assert parents[small] == parents[large]
    assert len(set(parents.values())) == 2 * 2


def test_a_complete_population_is_left_alone(undisturbed: Lake, recipe: Recipe) -> None:
    before, written = rows(undisturbed), files(undisturbed)
    heard: list[tuple[int, int, str]] = []
    build(undisturbed, recipe, progress=lambda *event: heard.append(event))
    assert heard == []
    assert rows(undisturbed) == before
    assert files(undisturbed) == written


def test_a_renamed_recipe_is_the_population_that_it_was_begun_as(undisturbed: Lake, recipe: Recipe) -> None:
    before = undisturbed.sql("SELECT (SELECT count(*) FROM population), (SELECT count(*) FROM member)").row(0)
    assert build(undisturbed, recipe.model_copy(update={"name": "other"})) == recipe.population_id
    assert undisturbed.sql("SELECT (SELECT count(*) FROM population), (SELECT count(*) FROM member)").row(0) == before


def test_progress_counts_epochs_up_to_all(lake: Lake, images: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    build(lake, tiny_recipe(images, width="3"), workers=2, progress=lambda *event: heard.append(event))
    assert [done for done, _, _ in heard] == list(range(1, 7))
    assert {total for _, total, _ in heard} == {6}
    assert {group for _, _, group in heard} == {"w3-b4", "w3-b8"}


def test_a_member_that_diverges_is_stored_with_its_last_finite_weights(lake: Lake, images: Path) -> None:
    recipe = tiny_recipe(images, width="3", learning_rate="[0.05, 1e30]")
    population_id = built(lake, recipe)
    states = lake.sql("SELECT DISTINCT learning_rate, state, diverged_epoch FROM member ORDER BY ALL").rows()
    assert states == [(0.05, "trained", None), (1e30, "diverged", 1)]
    model_id = f"zoo:{population_id}/w3-b4-s0-lr1e+30"
    assert all(tensor.isfinite().all() for tensor in load_weights(lake, model_id).values())
    curves = lake.sql("SELECT count(*) FROM training WHERE model_id = $model_id", model_id=model_id)
    assert curves.item() == 0
    assert lake.sql("SELECT state FROM population").item() == "complete"


def test_data_that_changed_since_the_first_build_are_refused(lake: Lake, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, width="3")
    population_id = built(lake, recipe)
    (lake.weights.folder / population_id / "w3-b4.json").unlink()
    write_images(tmp_path / "images.npz", seed=5)
    with pytest.raises(UsageError, match=f"has changed since {population_id} was begun"):
        built(lake, recipe)


def test_a_worker_refuses_data_that_changed_under_it(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    task = Task(
        group=recipe.groups()[0],
        dataset=recipe.dataset,
        split_seed=0,
        dataset_sha256="0" * 64,
        weights=tmp_path / "weights",
        population_id="p",
        device="cpu",
    )
    with pytest.raises(DataError, match="was changed while the population was being built"):
        perform(task, lambda epoch: None)
    failed = outcome(task.name, attempt(task.model_dump_json(), lambda epoch: None))
    assert isinstance(failed, Failed)
    assert (failed.outside, failed.again) == (False, False)
    assert not (tmp_path / "weights").exists()


def test_images_that_the_architecture_cannot_take_are_refused_before_anything_is_written(
    lake: Lake, tmp_path: Path
) -> None:
    write_images(tmp_path / "images.npz", side=1)
    with pytest.raises(UsageError, match="the cnn needs images of at least 2 x 2"):
        built(lake, tiny_recipe(tmp_path, architecture="cnn"))
    assert not lake.weights.folder.exists()


def test_a_batch_of_more_samples_than_there_are_is_refused_before_anything_is_written(lake: Lake, images: Path) -> None:
    with pytest.raises(UsageError, match=r"batch_size = 43: dataset npz:.* has 42 training samples; expected at most"):
        built(lake, tiny_recipe(images, width="3", batch_size="[4, 43]"))
    assert not lake.weights.folder.exists()
    built(lake, tiny_recipe(images, width="3", batch_size="42"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, "device 'gpu': expected one of: auto, cpu, cuda; did you mean 'cpu'"),
        ({"workers": 0}, "workers = 0: expected at least 1"),
        ({"workers": "2"}, "workers = '2': expected at least 1"),
        ({"keep_seconds": "soon"}, "keep_seconds = 'soon': expected a number of seconds"),
        ({"keep_seconds": -1}, "keep_seconds = -1: expected a number of seconds"),
    ],
)
def test_impossible_arguments_are_refused(
    lake: Lake, recipe: Recipe, arguments: dict[str, str | int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(lake, recipe, **arguments)  # type: ignore[arg-type] # wrong on purpose
    assert not lake.weights.folder.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said(lake: Lake, recipe: Recipe) -> None:
    with pytest.raises(UsageError, match="torch finds no GPU here"):
        build(lake, recipe, device="cuda")


def test_a_lake_opened_for_reading_is_refused_before_training(undisturbed: Lake, images: Path) -> None:
    reading = open_lake(undisturbed.path, read_only=True)
    with pytest.raises(UsageError, match="read_only=True; a build needs to write"):
        build(reading, tiny_recipe(images, epochs=4))


def test_members_of_a_shared_start_have_one_parent(lake: Lake, images: Path) -> None:
    built(lake, tiny_recipe(images, width="3", settings="init_seed = 4"))
    assert lake.sql("SELECT count(DISTINCT parent_id), count(*) FROM lineage").row(0) == (1, 4)
    assert lake.sql("SELECT DISTINCT init_seed FROM member").item() == 4
