"""What a build says before it begins and on its way, beside what it then did; and mixed precision."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from schemas import Lake, OutsideError, UsageError
from tests.test_build_disturbed import workers_of
from tests.test_train_alone import MEMBERS, group, images
from tests.tiny_population import START, tiny_recipe, write_images
from zoo import build, plan, status
from zoo.lock import sole_builder
from zoo.planned import HEADER_BYTES
from zoo.planning import read_plan
from zoo.recipe import Recipe
from zoo.results import Progress, progress_file, result_file, write_model
from zoo.train import train

PARENT = """
name = "parent"
architecture = "mlp"
dataset = "npz:{dataset}"
epochs = 1
grid = {{width = 3, batch_size = 8, learning_rate = 0.05, seeds = 1}}
"""


def shards_and_results(lake: Lake, population_id: str) -> int:
    """Bytes of what a build leaves for good."""
    folder = lake.weights.folder / population_id
    kept = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".json")]
    return sum(path.stat().st_size for path in kept if path.name != "population.json")


def test_a_plan_says_what_the_build_then_does(lake: Lake, recipe: Recipe) -> None:
    said = plan(lake, recipe, device="cpu", workers=1)
    assert not any(lake.weights.folder.rglob("*"))
    assert (said.members, len(said.groups), said.slots, said.device) == (8, 4, 1, "cpu")
    # 42 of 60 samples are trained on: 11 batches of 4 and 6 of 8, for 3 epochs, at two widths.
    samples = 60 - round(0.15 * 60) - round(0.15 * 60)
    assert said.steps == sum(2 * 3 * -(-samples // batch) for batch in (4, 8))
    assert said.seconds is not None
    assert said.seconds > 0
    assert said.table().row(0, named=True)["bytes"] == said.needed_bytes
    assert f"{said.members} members in 4 groups, {said.steps:,} steps" in said.in_words()
    built = build(lake, recipe, device="cpu", workers=1, clock=lambda: START)
    # Nothing is left out, and headers, for which 4 kB are set aside in each of three checkpoints, make it a bit more.
    stored = shards_and_results(lake, built)
    assert stored <= said.stored_bytes <= stored + 4 * 3 * HEADER_BYTES
    nothing_left = plan(lake, recipe, device="cpu")
    assert (nothing_left.members, nothing_left.steps, nothing_left.needed_bytes) == (0, 0, 0)


def test_a_disk_that_is_too_small_is_found_before_a_step_is_tried(lake: Lake, tmp_path: Path) -> None:
    """A step of these would need 17 GB of memory."""
    recipe = tiny_recipe(tmp_path, width="65536", settings="")
    recipe = recipe.model_copy(update={"grid": recipe.grid.model_copy(update={"seeds": tuple(range(10_000))})})
    with pytest.raises(OutsideError, match=r"needs [\d,.]+ GB and the disk of .* free; make room"):
        build(lake, recipe, device="cpu", workers=1)


def test_a_worker_that_dies_of_a_trial_leaves_what_the_plan_takes(lake: Lake, recipe: Recipe) -> None:
    def kill() -> None:
        while not (workers := workers_of(os.getpid())):
            time.sleep(0.01)
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        OutsideError, match=r"was killed by signal 9 \(out of memory\?\)\) of tiny-.*: 8 members .* of disk"
    ):
        plan(lake, recipe, device="cpu", workers=1)
    killer.join()


def test_status_is_read_from_what_a_build_leaves(lake: Lake, recipe: Recipe) -> None:
    assert status(lake).is_empty()
    with pytest.raises(UsageError, match="was not begun in this lake: none was"):
        status(lake, recipe.population_id)
    built = build(lake, recipe, device="cpu", workers=1, clock=lambda: START)
    whole = status(lake).row(0, named=True)
    counts = {name: whole[name] for name in ("state", "groups", "done", "running", "failed", "waiting", "share_done")}
    assert list(counts.values()) == ["complete", 4, 4, 0, 0, 0, 1.0]
    assert (whole["seconds_left"], whole["bytes_needed"]) == (0.0, 0)
    assert whole["bytes_free"] > 0
    weights = lake.weights.folder
    result_file(weights, built, "w3-b4").unlink()
    result_file(weights, built, "w3-b8").unlink()
    progress = Progress(
        step=20,
        steps=30,
        epoch=2,
        seconds_a_step=0.5,
        begun_at=START,
        updated_at=START,
        host="h",
        process=1,
        device="cpu",
    )
    write_model(progress_file(weights, built, "w3-b4"), progress)
    (stopped,) = status(lake).to_dicts()
    assert (stopped["state"], stopped["done"], stopped["running"], stopped["waiting"]) == ("stopped", 2, 0, 2)
    assert 0.5 < stopped["share_done"] < 1
    assert stopped["seconds_left"] > 10 * 0.5  # ten steps are left of one group, and all of another that nobody timed
    assert stopped["bytes_needed"] > 0
    with sole_builder(weights, built):
        (running,) = status(lake).to_dicts()
        assert (running["state"], running["running"], running["waiting"]) == ("running", 1, 1)
        states = {row["group"]: row for row in status(lake, "tiny").to_dicts()}
    assert [states[name]["state"] for name in ("w3-b4", "w3-b8", "w4-b4")] == ["running", "waiting", "done"]
    assert (states["w3-b4"]["epoch"], states["w3-b4"]["epochs"], states["w3-b4"]["seconds_left"]) == (2, 3, 5.0)
    assert {row["group"]: row["state"] for row in status(lake, built).to_dicts()}["w3-b4"] == "interrupted"
    build(lake, recipe, device="cpu", workers=1)
    assert status(lake)["state"].to_list() == ["complete"]


def test_what_was_planned_is_kept_with_the_population(lake: Lake, recipe: Recipe) -> None:
    said: list[str] = []
    built = build(lake, recipe, device="cpu", planned=lambda drawn: said.append(drawn.in_words()))
    kept = read_plan(lake.weights.folder, built)
    assert kept is not None
    assert [kept.in_words()] == said


def test_passes_in_bfloat16_learn_about_the_same_and_weights_stay_float32(lake: Lake, tmp_path: Path) -> None:
    wanted = group("mlp", width=16, epochs=5, members=MEMBERS[:2])  # the third starts from large numbers
    whole, mixed = (train(wanted, images(), precision=kind, backend="vmap") for kind in (None, torch.bfloat16))
    for name, tensor in mixed.checkpoints[5].items():
        assert tensor.dtype == torch.float32
        assert not torch.equal(tensor, whole.checkpoints[5][name])
    # bfloat16 has 8 bits, a relative error of 0.4 % in each number of a forward pass.
    begin, exact = mixed.curves["train", "loss"][:, 0], whole.curves["train", "loss"][:, 0]
    torch.testing.assert_close(begin, exact, rtol=0.05, atol=0)
    recipe = tiny_recipe(tmp_path, epochs=1, width="[3]", batch_size="[8]")
    with pytest.raises(UsageError, match="precision 'float16': expected one of: bfloat16"):
        build(lake, recipe, precision="float16")


def test_a_population_is_of_one_precision(lake: Lake, tmp_path: Path) -> None:
    """What is trained in another precision is another population, so that none is half of each."""
    recipe = tiny_recipe(tmp_path, epochs=1, width="[3]", batch_size="[8]")
    whole = build(lake, recipe, device="cpu", workers=1)
    mixed = build(lake, recipe, device="cpu", workers=1, precision="bfloat16")
    written = tiny_recipe(tmp_path, epochs=1, width="[3]", batch_size="[8]", settings='precision = "bfloat16"')
    assert build(lake, written, device="cpu", workers=1) == mixed != whole
    found = lake.sql(
        "SELECT population_id, recipe ->> '$.precision' AS precision, flags ->> '$.precision' AS flag, members "
        "FROM population JOIN sitting USING (population_id) ORDER BY created_at"
    )
    assert found.rows() == [(whole, None, "float32", 2), (mixed, "bfloat16", "bfloat16", 2)]
    weights = [
        lake.weights.read(shard) for shard in lake.sql("SELECT DISTINCT shard FROM checkpoint WHERE final")["shard"]
    ]
    first, second = (each["linear1.weight"] for each in weights)
    assert first.dtype == second.dtype == torch.float32
    assert not torch.equal(first, second)


def test_a_parent_is_built_as_its_own_recipe_says(lake: Lake, tmp_path: Path) -> None:
    parent = tmp_path / "parent.toml"
    parent.write_text(PARENT.format(dataset=write_images(tmp_path / "images.npz")))
    child = tiny_recipe(tmp_path, epochs=1, width="[3]", batch_size="[8]", settings=f'parent = "{parent}"')
    build(lake, child, device="cpu", workers=1, precision="bfloat16")
    found = lake.sql("SELECT recipe ->> '$.precision' AS precision FROM population ORDER BY created_at")
    assert found["precision"].to_list() == [None, "bfloat16"]
