"""Builds that are disturbed: killed, short of files or rows, kept from the lake. Nothing is lost or trained twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import Lake, LakeBusy, OutsideError, UsageError, open_lake
from tests.tiny_population import built, files, rows, tiny_recipe
from zoo.building import Plan, build
from zoo.catalogue import populations
from zoo.load import load_weights
from zoo.recipe import Recipe
from zoo.watching import status

SCRIPT = """
import sys
from pathlib import Path
from schemas import open_lake
from tests.tiny_population import tiny_recipe
from zoo.building import build
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
            if int(status[1]) == process_id and b"zoo.engines.worker" in command:
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


def test_a_second_build_at_once_is_refused_and_trains_nothing(lake: Lake, recipe: Recipe, images: Path) -> None:
    process = start_build(lake, images)
    await_file(lake.path, "population.json", 1, process)
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        before = files(lake)
        with pytest.raises(OutsideError, match=f"^{recipe.population_id} is being built by another process; .*$"):
            built(lake, recipe)
        assert files(lake) == before
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    assert process.wait() == 0
    assert lake.sql("SELECT state FROM population").item() == "complete"


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
    shards = {f"w3-b8-e{epoch}.safetensors" for epoch in (0, 1, 3)}
    assert changed == {"w3-b8.json", "build.plan", *shards}


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
    states = "SELECT state, count(*), count(failed_epoch), count(reason) FROM member GROUP BY ALL ORDER BY ALL"
    assert lake.sql(states).rows() == [("failed", 2, 2, 2), ("trained", 6, 0, 0)]
    assert lake.sql("SELECT state FROM population").item() == "building"
    assert populations(lake)["state"].to_list() == ["failed"]
    standing = {row["group"]: (row["state"], row["reason"]) for row in status(lake, recipe.population_id).to_dicts()}
    assert standing.pop(killed[0]) == ("failed", "its worker was killed by signal 9 (out of memory?)")
    assert set(standing.values()) == {("done", None)}
    failed = lake.sql("SELECT model_id FROM member WHERE state = 'failed' ORDER BY seed")["model_id"][0]
    with pytest.raises(UsageError, match=f"{failed} has no weights: its training failed in epoch .* signal 9"):
        load_weights(lake, failed)
    (cell,) = lake.sql("FROM cells WHERE failed > 0").to_dicts()
    assert (cell["members"], cell["trained"], cell["test_accuracy"]) == (2, 0, None)
    build(lake, recipe, workers=1)
    assert lake.sql("SELECT state FROM population").item() == "complete"
    assert lake.sql(states).rows() == [("trained", 8, 0, 0)]
    assert status(lake)["state"].to_list() == ["complete"]


def test_a_full_disk_is_said_and_what_is_done_stays(small_disk: Path, tmp_path: Path) -> None:
    lake = open_lake(small_disk / "lake")
    wide = tiny_recipe(tmp_path, width="500", epochs=1)  # 4.5 MB a group: both would fit, if nobody else wrote

    def fill_up(drawn: Plan) -> None:
        assert len(drawn.groups) == 2
        (small_disk / "others").write_bytes(bytes(shutil.disk_usage(small_disk).free - 6_500_000))

    with pytest.raises(OutsideError, match=r"1 of 2 groups could not be trained.* w500-b8: cannot write .*"):
        build(lake, wide, workers=1, planned=fill_up)
    assert not list(small_disk.rglob(".*safetensors*"))
    assert lake.sql("SELECT DISTINCT batch_size FROM member WHERE state = 'trained'").item() == 4


def test_a_disk_that_cannot_hold_the_plan_is_refused_before_anything_is_trained(
    small_disk: Path, tmp_path: Path
) -> None:
    lake = open_lake(small_disk / "lake")
    wide = tiny_recipe(tmp_path, width="1100", epochs=1)  # 21 MB a group
    with pytest.raises(OutsideError, match=r"tiny-\w+ needs [\d.]+ MB and the disk of .* has [\d.]+ MB free; make"):
        build(lake, wide, workers=1)
    assert not lake.weights.folder.exists()
