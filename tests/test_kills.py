"""Builds that are killed by SIGKILL in the middle of a group: the same build goes on to the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas import Lake, open_lake
from tests.tiny_population import built, rows, tiny_recipe
from zoo.recipe import Recipe

EPOCHS = 12
SETTINGS = 'schedule = "onecycle"'
SCRIPT = """
import sys
from pathlib import Path
from schemas import open_lake
from tests.test_kills import long_recipe
from tests.tiny_population import START
from zoo.building import build
build(open_lake(sys.argv[1]), long_recipe(Path(sys.argv[2])), workers=2, keep_seconds=0.0, clock=lambda: START)
"""


def long_recipe(images: Path) -> Recipe:
    return tiny_recipe(images, architecture="cnn", epochs=EPOCHS, settings=SETTINGS)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("uninterrupted") / "lake")
    built(lake, long_recipe(images))
    return lake


def kill_after(lake: Lake, images: Path, seconds: float) -> bool:
    """Build, and kill all processes of it so long after the first state was kept; whether one was on its way."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, str(lake.path), str(images)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    before = {path: path.stat().st_mtime_ns for path in lake.weights.folder.rglob("*.state")}
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        found = list(lake.weights.folder.rglob("*.state"))
        if any(path.exists() and path.stat().st_mtime_ns != before.get(path) for path in found):
            break
        time.sleep(0.002)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return any(lake.weights.folder.rglob("*.state"))


@pytest.mark.parametrize("seed", [0])
def test_a_group_that_was_killed_goes_on_to_the_same_bits(
    lake: Lake, images: Path, uninterrupted: Lake, seed: int
) -> None:
    on_its_way = kill_after(lake, images, random.Random(seed).uniform(0, 0.1))
    built(lake, long_recipe(images))
    assert rows(lake) == rows(uninterrupted)
    assert not any(lake.weights.folder.rglob(".*"))
    assert not on_its_way or lake.sql("SELECT max(step) FROM sitting WHERE number > 0").item() > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)  # twenty times the start of a build
def test_twenty_kills_at_random_points_change_no_bit(lake: Lake, images: Path, uninterrupted: Lake) -> None:
    source = random.Random(5)
    killed = [kill_after(lake, images, source.uniform(0, 0.15)) for _ in range(20)]
    assert sum(killed) > 5
    built(lake, long_recipe(images))
    assert rows(lake) == rows(uninterrupted)
