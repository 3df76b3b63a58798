"""Stitchable networks of a lake: made once, resumed to the same bits, exported, loaded on their own, drawn."""

import json
from pathlib import Path

import pytest
import torch

from learners import draw_stitches, export_stitchable, load_stitchable, report, stitch
from learners.stitching import making
from learners.stitching.recipe import StitchRecipe, load_stitch_recipe
from learners.stitching.training import StitchTraining, TrainingDiverged
from schemas import DataError, Lake, UsageError, examine
from tests.test_command_line import Run, run
from zoo.datasets import load_dataset
from zoo.describe import describe

TWO = "SELECT min(model_id) AS model_id FROM models WHERE origin = 'trained' GROUP BY width ORDER BY width"
ACCURACY = "SELECT value, settings FROM measurement WHERE model_id = $id AND metric = 'accuracy' AND split = 'test'"
RECIPE = "fit_samples = 40\n[training]\nepochs = 3\nbatch_size = 8\n[space]\ndirection = 'both'\n"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_a_stitchable_network_is_a_model_of_the_lake_and_loads_on_its_own(
    copied: Lake, recipe_file: Path, tmp_path: Path
) -> None:
    made = stitch(copied, TWO, recipe_file)
    assert made.made
    assert made.stitches["stage"].unique().sort().to_list() == ["least squares", "random", "trained"]
    assert made.stitches.filter(stage="trained").height == 2 + 2
    row = copied.sql("SELECT * FROM models WHERE model_id = $id", id=made.model_id).row(0, named=True)
    assert (row["origin"], row["method"], row["architecture"]) == ("made", "stitchable", "stitchable")
    parents = copied.sql("SELECT parent_id, relation FROM lineage WHERE child_id = $id", id=made.model_id)
    assert set(parents["parent_id"]) == set(made.anchors)
    assert set(parents["relation"]) == {"stitch"}
    assert examine(copied, weights=True).is_empty()
    again = stitch(copied, TWO, recipe_file)
    assert not again.made
    assert again.stitches.equals(made.stitches)
    folder = export_stitchable(copied, made.model_id, tmp_path / "out")
    network = load_stitchable(folder)
    test = load_dataset(copied.sql("SELECT dataset FROM population")["dataset"][0], 0).test
    for number, accuracy in made.stitches.filter(stage="trained").select("stitch", "accuracy").rows():
        with torch.no_grad():
            found = (network.at(number)(test.x).argmax(1) == test.y).double().mean()
        assert float(found) == pytest.approx(accuracy)
    assert network.at(flops=min(network.flops))(test.x).shape == (len(test), 3)
    by_validation = max(range(len(network.stitches)), key=lambda n: (network.accuracies[n], -network.flops[n]))
    value, settings = copied.sql(ACCURACY, id=made.model_id).row(0)
    assert json.loads(settings)["stitch"] == by_validation  # no test sample has a say in which one it is
    assert value == made.stitches.filter(stage="trained", stitch=by_validation)["accuracy"][0]
    assert made.stitches.filter(stage="trained")["flops"].to_list() == list(network.flops)
    with pytest.raises(UsageError, match="nobody here knows how made:stitch/"):
        describe(copied, made.model_id)


def test_a_training_that_was_ended_goes_on_to_the_same_bits(copied: Lake, recipe_file: Path, tmp_path: Path) -> None:
    class Ended(Exception):
        pass

    def end(done: int, total: int | None, what: str) -> None:
        assert total == 3
        if done == 2:
            raise Ended

    with pytest.raises(Ended):
        stitch(copied, TWO, recipe_file, progress=end)
    assert copied.sql("SELECT count(*) FROM product").item() == 0
    (kept,) = copied.weights.folder.rglob("*.progress.safetensors")
    assert examine(copied).is_empty()
    whole_file = kept.read_bytes()
    kept.write_bytes(whole_file[:100])
    with pytest.raises(DataError, match="is damaged; delete it to train from the start"):
        stitch(copied, TWO, recipe_file)
    kept.write_bytes(whole_file)
    epochs: list[int] = []
    rest = stitch(copied, TWO, recipe_file, progress=lambda done, total, what: epochs.append(done))
    assert epochs == [3]
    resumed = load_stitchable(export_stitchable(copied, rest.model_id, tmp_path / "resumed"))
    with copied.write() as transaction:
        transaction.sql("DELETE FROM stitch")
    whole = stitch(copied, TWO, recipe_file)
    assert whole.made
    undisturbed = load_stitchable(export_stitchable(copied, whole.model_id, tmp_path / "whole"))
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])
    assert not list(copied.weights.folder.rglob("*.progress.safetensors"))


def test_the_front_and_the_pictures(copied: Lake, recipe_file: Path, tmp_path: Path) -> None:
    made = stitch(copied, TWO, recipe_file)
    for stage in ("random", "trained"):
        rows = made.stitches.filter(stage=stage)
        for row in rows.filter("on_front").rows(named=True):
            cheaper = rows.filter(rows["flops"] <= row["flops"])
            assert row["accuracy"] == cheaper["accuracy"].max()
    assert "test accuracy" in draw_stitches(made.stitches, tmp_path / "front.svg").read_text(encoding="utf-8")
    assert f"Stitchable network {made.model_id}" in report(copied, tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("epochs = 3", r"wrong.toml: there is no epochs; expected one of space, training, fit_samples, ridge, rank"),
        ("[training]\nepoch = 3", r"there is no training.epoch; expected one of epochs, batch_size, learning_rate"),
        ("[training]\nepochs = 'many'", "training.epochs = 'many'"),
        ("[space]\nhops = 7", r"wrong.toml: hops = 7"),
        ("rank = -1", "rank = -1: expected a number from 0 on"),
        ("= 3", "is no TOML"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=reason) as raised:
        load_stitch_recipe(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_stitch_recipe(tmp_path / "absent.toml")


def test_what_is_no_stitchable_network_is_refused(copied: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no stitchable network of this lake"):
        export_stitchable(copied, "made:stitch/none", tmp_path)
    with pytest.raises(DataError, match=r"is no stitchable network: expected a config\.json"):
        load_stitchable(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"weightlake_stitchable": {"anchors": []}}), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError):
        load_stitchable(tmp_path)
    assert making.METHOD == "stitchable"


@pytest.mark.usefixtures(run.__name__)
def test_the_command_makes_exports_and_draws(copied: Lake, run: Run, recipe_file: Path, tmp_path: Path) -> None:
    options = ["stitch", "--lake", copied.path, "--select", TWO, "--train", recipe_file]
    made = run(*options, "--to", tmp_path / "front.svg", "--export", tmp_path / "repositories")
    assert made.code == 0, made.err
    assert "made:stitch/2-anchors-" in made.err
    assert "all 12 rows have --json" in made.err
    assert len(made.out.splitlines()) < 20
    assert "mean_accuracy" in made.out
    assert made.out.index("random") < made.out.index("least squares") < made.out.index("trained")
    refused = run("stitch", "--lake", copied.path, "--select", "SELECT model_id FROM models", "--penalty")
    assert refused.code == 2
    assert "is a stitchable network, which is many networks in one; leave it out" in refused.err
    assert (tmp_path / "front.svg").exists()
    (folder,) = (tmp_path / "repositories").iterdir()
    assert len(load_stitchable(folder).stitches) == 4
    assert run(*options, "--penalty").code == 2
    mixed = run(*options, "--cut", "linear1")
    assert (mixed.code, "takes its settings from its recipe" in mixed.err) == (2, True)
    assert json.loads(run(*options, "--json").out)[0]["stage"]


@pytest.mark.usefixtures(run.__name__)
def test_a_network_whose_training_diverges_is_neither_stored_nor_exported(
    copied: Lake, run: Run, tmp_path: Path
) -> None:
    recipe = tmp_path / "steep.toml"
    steep = "[training]\nepochs = 8\nbatch_size = 1000\nlearning_rate = 1e3\nweight_decay = 1e3\n"
    recipe.write_text(f"fit_samples = 40\n{steep}", encoding="utf-8")
    tables = ("model", "product", "stitch", "measurement", "lineage", "checkpoint")
    rows = {table: copied.sql(f"SELECT count(*) FROM {table}").item() for table in tables}
    files = sorted(copied.weights.folder.rglob("*"))
    options = ["stitch", "--lake", copied.path, "--select", TWO, "--train", recipe]
    refused = run(*options, "--to", tmp_path / "front.svg", "--export", tmp_path / "repositories")
    assert refused.code == 2
    assert "diverged in epoch 6" in refused.err  # there were five good ones to go on from
    assert "lower learning_rate = 1000" in refused.err
    assert rows == {table: copied.sql(f"SELECT count(*) FROM {table}").item() for table in tables}
    assert [path for path in sorted(copied.weights.folder.rglob("*")) if path.is_file()] == [
        path for path in files if path.is_file()
    ]
    assert not list((tmp_path / "repositories").iterdir())
    assert not (tmp_path / "front.svg").exists()


def test_outputs_that_overflow_after_the_last_step_are_of_a_training_that_diverged(
    copied: Lake, tmp_path: Path
) -> None:
    steps = StitchTraining(epochs=5, batch_size=1000, learning_rate=1e3, weight_decay=1e3)
    with pytest.raises(TrainingDiverged, match="diverged in the end"):
        stitch(copied, TWO, StitchRecipe(training=steps))
    assert copied.sql("SELECT count(*) FROM product").item() == 0
    assert not list(copied.weights.folder.rglob("*.progress.safetensors"))
