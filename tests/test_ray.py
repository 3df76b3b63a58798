"""The Ray engine: what a cluster builds that is disturbed is what worker processes on this machine build."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import Lake, open_lake
from tests.ray_kills import recipe_of
from tests.tiny_population import built, rows, tiny_recipe

pytest.importorskip("ray")

EPOCHS = 60
KILLS = 20
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # how Ray is told to stay on 127.0.0.1
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": str(Path(__file__).parents[1]),
}


@pytest.mark.slow
@pytest.mark.timeout(900)  # starting a cluster takes most of it
def test_a_cluster_that_loses_a_node_builds_the_same_rows_and_weights(lake: Lake, images: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.ray_build", str(lake.path), str(images), str(EPOCHS)]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "on their way: 2" in done.stdout
    assert "nodes left: 2" in done.stdout
    other = open_lake(tmp_path / "other")
    built(other, tiny_recipe(images, epochs=EPOCHS))
    assert rows(lake) == rows(other)
    interrupted = lake.sql("SELECT max(number), max(step) FROM sitting").row(0)
    assert interrupted[0] == 1
    assert interrupted[1] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)  # twenty times the start of a node or a build
def test_twenty_kills_at_random_points_change_no_bit(lake: Lake, images: Path, tmp_path: Path) -> None:
    """Of the node that computes and of the build itself, in turn."""
    command = [sys.executable, "-m", "tests.ray_kills", str(lake.path), str(images), str(KILLS)]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    met = int(done.stdout.splitlines()[-1].split()[2])
    assert met > KILLS / 2
    other = open_lake(tmp_path / "other")
    built(other, recipe_of(images))
    assert rows(lake) == rows(other)
    assert lake.sql("SELECT max(step) FROM sitting WHERE number > 0").item() > 0
    assert not any(lake.weights.folder.rglob(".*"))
