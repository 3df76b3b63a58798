"""Builds: rows and weights as the recipe says, the same after any kill, and never trained twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import torch

from schemas import DataError, Lake, LakeBusy, OutsideError, UsageError, open_lake
from tests.tiny_population import tiny_recipe, write_images
from zoo.build import build
from zoo.load import load_weights
from zoo.population import member
from zoo.recipe import Recipe
from zoo.task import Task, fingerprint, perform
from zoo.train import Trained, initial_weights, train

START = datetime(2024, 2, 29, 12, tzinfo=UTC)
CLOCKS = ("created_at", "first_seen", "last_seen")


def built(lake: Lake, recipe: Recipe, workers: int = 2) -> str:
    return build(lake, recipe, device="cpu", workers=workers, clock=lambda: START)


def rows(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    """Every row that a build writes, but for the times of day."""
    tables = ("population", "model", "member", "training", "checkpoint", "lineage")
    frames = {table: lake.sql(f"FROM {table} ORDER BY ALL") for table in tables}
    return {table: frame.drop(CLOCKS, strict=False).rows() for table, frame in frames.items()}


def files(lake: Lake) -> dict[str, tuple[int, int]]:
    """Inode and time of every file below weights/: what is written anew has others."""
    found = [path for path in lake.weights.folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the dataset that all recipes of this file train on."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def recipe(images: Path) -> Recipe:
    return tiny_recipe(images)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("undisturbed") / "lake")
    built(lake, recipe)
    return lake


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


def retrained(lake: Lake, recipe: Recipe, group: int) -> Trained:
    from zoo.datasets import load_dataset

    return train(recipe.groups()[group], load_dataset(recipe.dataset, recipe.split_seed).splits)


@pytest.mark.parametrize("group", [0, 3])
def test_weights_and_curves_are_those_of_the_trainer(undisturbed: Lake, recipe: Recipe, group: int) -> None:
    expected = retrained(undisturbed, recipe, group)
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


@pytest.fixture
def copied(undisturbed: Lake, tmp_path: Path) -> Lake:
    """A complete build that a test may spoil."""
    shutil.copytree(undisturbed.path, tmp_path / "copied")
    return open_lake(tmp_path / "copied")


def test_a_complete_population_is_left_alone(undisturbed: Lake, recipe: Recipe) -> None:
    before, written = rows(undisturbed), files(undisturbed)
    heard: list[tuple[int, int, str]] = []
    build(undisturbed, recipe, progress=lambda *event: heard.append(event))
    assert heard == []
    assert rows(undisturbed) == before
    assert files(undisturbed) == written


def test_progress_counts_epochs_up_to_all(lake: Lake, images: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    build(lake, tiny_recipe(images, width="3"), workers=2, progress=lambda *event: heard.append(event))
    assert [done for done, _, _ in heard] == list(range(1, 7))
    assert {total for _, total, _ in heard} == {6}
    assert {group for _, _, group in heard} == {"w3-b4", "w3-b8"}


SCRIPT = """
import sys
from pathlib import Path
from schemas import open_lake
from tests.tiny_population import tiny_recipe
from zoo import build
build(open_lake(sys.argv[1]), tiny_recipe(Path(sys.argv[2])), workers=2)
"""


def start_build(lake: Lake, images: Path) -> subprocess.Popen[bytes]:
    """A script without a main guard that builds, as the first process of a group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, str(lake.path), str(images)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


def await_file(folder: Path, pattern: str, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.rglob(pattern))) < count and process.poll() is None:
        assert time.monotonic() < deadline, f"no {pattern} after two minutes"
        time.sleep(0.002)


def workers_of(process_id: int) -> list[int]:
    """Children of a process that are workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(status[1]) == process_id and b"zoo.worker" in command:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("population.json", 1), ("*-e0.safetensors", 1), ("w*.json", 1), ("w*.json", 4)],
    ids=["begun", "first shard", "first result", "last result"],
)
def test_a_killed_build_goes_on_to_the_same_rows_and_weights(
    lake: Lake, recipe: Recipe, images: Path, undisturbed: Lake, pattern: str, count: int
) -> None:
    process = start_build(lake, images)
    await_file(lake.path, pattern, count, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: state for path, state in files(lake).items() if "/w" in path and path.endswith(".json")}
    built(lake, recipe)
    assert rows(lake) == rows(undisturbed)
    for shard, digest in lake.sql("SELECT DISTINCT shard, shard_sha256 FROM checkpoint").rows():
        lake.weights.verify(shard, digest)
    after = files(lake)
    assert all(after[path] == state for path, state in before.items()), "a group that was done was trained again"


def test_workers_end_when_their_build_is_killed(lake: Lake, images: Path) -> None:
    process = start_build(lake, images)
    await_file(lake.path, "population.json", 1, process)
    workers: list[int] = []
    while process.poll() is None and not workers:
        workers = workers_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its build"
        time.sleep(0.02)


def test_a_script_on_standard_input_builds_too(lake: Lake, images: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-", str(lake.path), str(images)]
    done = subprocess.run(command, input=SCRIPT, text=True, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lake.sql("SELECT state FROM population").item() == "complete"


@pytest.mark.parametrize("spoiled", ["w3-b8.json", "w3-b8-e1.safetensors"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_group_that_is_not_whole_is_trained_again(
    copied: Lake, recipe: Recipe, undisturbed: Lake, spoiled: str, how: str
) -> None:
    folder = copied.weights.folder / recipe.population_id
    (folder / spoiled).unlink() if how == "gone" else (folder / spoiled).write_bytes(b"{")
    before = files(copied)
    built(copied, recipe)
    assert rows(copied) == rows(undisturbed)
    changed = {Path(path).name for path, state in files(copied).items() if before.get(path) != state}
    assert changed == {"w3-b8.json", "w3-b8-e0.safetensors", "w3-b8-e1.safetensors", "w3-b8-e3.safetensors"}


def test_rows_that_are_missing_are_registered_without_training(copied: Lake, recipe: Recipe, undisturbed: Lake) -> None:
    written = files(copied)
    with copied.write() as transaction:
        for table in ("model", "member", "training", "checkpoint"):
            transaction.sql(f"DELETE FROM {table} WHERE model_id LIKE '%/w4-%'")
    built(copied, recipe)
    assert rows(copied) == rows(undisturbed)
    assert files(copied) == written


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holder(lake: Lake) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that keeps the lake's database open until its standard input ends."""
    command = [sys.executable, "-c", HOLD, str(lake.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_a_busy_lake_stops_no_training_and_loses_nothing(
    lake: Lake, images: Path, holder: subprocess.Popen[bytes]
) -> None:
    recipe = tiny_recipe(images, width="3")
    impatient = Lake(lake.path, read_only=False, wait=0.2)
    with pytest.raises(LakeBusy, match=rf"{recipe.population_id} is trained .* nothing is lost"):
        built(impatient, recipe)
    written = files(lake)
    assert sum(path.endswith(".safetensors") for path in written) == 2 * 3
    holder.communicate()
    built(lake, recipe)
    assert lake.sql("SELECT state, members FROM population").row(0) == ("complete", 4)
    assert files(lake) == written


def test_a_worker_that_dies_is_named_and_the_other_groups_are_finished(lake: Lake, images: Path) -> None:
    recipe = tiny_recipe(images, epochs=40)
    killed: list[str] = []

    def kill_the_first(done: int, total: int, group: str) -> None:
        if not killed:
            killed.append(group)
            os.kill(workers_of(os.getpid())[0], signal.SIGKILL)

    with pytest.raises(OutsideError) as failure:
        build(lake, recipe, workers=1, progress=kill_the_first)
    assert "1 of 4 groups could not be trained, run the build again to go on" in str(failure.value)
    assert f"{killed[0]}: its worker was killed by signal 9 (out of memory?)" in str(failure.value)
    assert lake.sql("SELECT count(*) FROM member").item() == 6
    assert lake.sql("SELECT state FROM population").item() == "building"
    build(lake, recipe, workers=1)
    assert lake.sql("SELECT state FROM population").item() == "complete"


def test_a_full_disk_is_said_and_what_is_done_stays(small_disk: Path, tmp_path: Path) -> None:
    lake = open_lake(small_disk / "lake")
    wide = tiny_recipe(tmp_path, width="1100", epochs=1)  # 21 MB a group: the second does not fit
    with pytest.raises(OutsideError, match=r"1 of 2 groups could not be trained.* w1100-b8: cannot write .*"):
        build(lake, wide, workers=1)
    assert not list(small_disk.rglob(".*safetensors*"))
    assert lake.sql("SELECT DISTINCT batch_size FROM member").item() == 4


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
    assert not (tmp_path / "weights").exists()


def test_images_that_the_architecture_cannot_take_are_refused_before_anything_is_written(
    lake: Lake, tmp_path: Path
) -> None:
    write_images(tmp_path / "images.npz", side=1)
    with pytest.raises(UsageError, match="the cnn needs images of at least 2 x 2"):
        built(lake, tiny_recipe(tmp_path, architecture="cnn"))
    assert not lake.weights.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, "device 'gpu': expected one of: auto, cpu, cuda; did you mean 'cpu'"),
        ({"workers": 0}, "workers = 0: expected at least 1"),
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
    starts = lake.sql("SELECT DISTINCT init_seed FROM member")
    assert isinstance(starts, pl.DataFrame)
    assert starts.item() == 4
