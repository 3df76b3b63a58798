"""A build on a Ray cluster that is killed again and again: its node in turn with the build itself.

python -m tests.ray_kills LAKE IMAGES KILLS

Says how many of the kills met a training on its way. The last build ends undisturbed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.tiny_population import tiny_recipe
from zoo.recipe import Recipe

EPOCHS = 40
HERE = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 80_000_000}
PATIENCE = 240.0
TRIES = 6
LONGEST = 0.4
"""Seconds between the first sign of a training and the kill, at most."""
SCRIPT = """
import sys
from pathlib import Path
from schemas import open_lake
from tests.ray_kills import recipe_of
from tests.tiny_population import START
from zoo.building import build
build(open_lake(sys.argv[1]), recipe_of(Path(sys.argv[2])), device="cpu", engine="ray", keep_seconds=0.0,
      clock=lambda: START)
"""


def recipe_of(images: Path) -> Recipe:
    """What is built: eight members in four groups."""
    return tiny_recipe(images, epochs=EPOCHS, settings='schedule = "onecycle"')


class Disturbed:
    """A cluster of one node that computes, and a build on it."""

    def __init__(self, lake: str, images: str) -> None:
        self.lake, self.images = lake, images
        self.cluster: Any = import_module("ray.cluster_utils").Cluster()
        self._add_node(0)
        self.node = self._add_node(2)
        self.build = self._begun()

    def kill_the_node(self) -> None:
        """Take away the node that computes, and give the cluster another one."""
        self.cluster.remove_node(self.node, allow_graceful=False)
        self.node = self._add_node(2)

    def kill_the_build(self) -> None:
        """Kill the process that builds, and begin the same build again."""
        os.killpg(self.build.pid, signal.SIGKILL)
        self.build.wait()
        self.build = self._begun()

    def states(self) -> dict[Path, int]:
        """When each training on its way was last kept."""
        found = {}
        for path in Path(self.lake).rglob("*.state"):
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # it has just ended
                continue
        return found

    def wait_for_a_step(self) -> None:
        """Wait until a training keeps its state anew, or the build has ended."""
        before, deadline = self.states(), time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.build.poll() is None:
            if any(before.get(path) != kept for path, kept in self.states().items()):
                return
            time.sleep(0.002)

    def _add_node(self, processors: int) -> Any:
        """Start a node; on a busy machine that takes longer than the 30 seconds that Ray waits."""
        for _ in range(TRIES - 1):
            with suppress(Exception):  # it is Ray's own bare one
                return self.cluster.add_node(**HERE, num_cpus=processors)
        return self.cluster.add_node(**HERE, num_cpus=processors)

    def _begun(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCRIPT, self.lake, self.images]
        environment = {**os.environ, "RAY_ADDRESS": self.cluster.address}
        return subprocess.Popen(command, env=environment, start_new_session=True)


def main(lake: str, images: str, kills: int) -> int:
    """Kill so often, and let the build end; gives its exit code."""
    source = random.Random(7)
    disturbed = Disturbed(lake, images)
    met = 0
    for number in range(kills):
        disturbed.wait_for_a_step()
        time.sleep(source.uniform(0, LONGEST))
        met += bool(disturbed.states()) and disturbed.build.poll() is None
        (disturbed.kill_the_build if number % 2 else disturbed.kill_the_node)()
        print(f"kill {number + 1}: {met} met a training", flush=True)
    code = disturbed.build.wait()
    disturbed.cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
