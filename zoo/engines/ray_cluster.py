"""The Ray engine: the same jobs as tasks of a Ray cluster, whose nodes share the lake's folder.

Weights, states and results are written by the nodes; rows of the lake by the build alone. What goes
through Ray is a job and its answer, both JSON.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from schemas.errors import OutsideError, UsageError
from zoo.engines.attempt import attempt, outcome
from zoo.engines.engine import Done, Engine, Epoch, Event, Failed, Job
from zoo.environment import make_reproducible
from zoo.results import Progress, progress_file, read_as
from zoo.task import Task

try:
    ray: Any = import_module("ray")
except ImportError as error:
    raise UsageError("engine 'ray': Ray is not installed; pip install 'weightlake[ray]'") from error

RETRIES = 100
"""How often a job is begun again when its node is lost; it goes on from what it kept."""
LOOK_SECONDS = 0.5


@contextmanager
def ray_cluster(device: str, workers: int | None) -> Iterator["RayCluster"]:
    """Connect to the cluster that RAY_ADDRESS names, or that runs on this machine, or start one on it.

    Raises:
        UsageError: The cluster has no GPU, though one is wanted, or the number of workers is below 1.
        OutsideError: The cluster cannot be reached.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"workers = {workers}: expected at least 1, or None for all that the cluster has")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what is built
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(log_to_driver=False, include_dashboard=False)
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            raise OutsideError(f"the Ray cluster cannot be reached: {error}") from error
    try:
        yield RayCluster(device, workers)
    finally:
        if ours:
            ray.shutdown()


class RayCluster(Engine):
    """A Ray cluster that this process is connected to: a job takes a CPU, or a GPU."""

    def __init__(self, device: str, workers: int | None) -> None:
        gpus = _has("GPU")
        if device == "cuda" and not gpus:
            raise UsageError("device 'cuda': this Ray cluster has no GPU; take 'cpu' or 'auto'")
        self.device = "cuda" if gpus and device != "cpu" else "cpu"
        self.workers = workers

    @property
    def slots(self) -> int:
        """As `Engine.slots`; a cluster may grow and shrink."""
        has = _has("GPU" if self.device == "cuda" else "CPU")
        return max(1, min(has, self.workers or has))

    @contextmanager
    def events(self, jobs: Sequence[Job]) -> Iterator[Iterator[Event]]:
        """As `Engine.events`."""
        crew = _Crew(jobs, self._remote(), self.workers or len(jobs))
        try:
            yield crew.events()
        finally:
            crew.end()

    def _remote(self) -> Callable[[Job], Any]:
        """Make jobs tasks of the cluster."""
        folder, device = str(Path.cwd()), self.device
        function = ray.remote(num_cpus=1, num_gpus=int(device == "cuda"), max_retries=RETRIES)(on_node)
        return lambda job: function.remote(job.model_copy(update={"device": device}).model_dump_json(), folder)


def _has(resource: str) -> int:
    """How many CPUs or GPUs the cluster has now."""
    return int(ray.cluster_resources().get(resource, 0))


class _Crew:
    """Jobs of which at most so many at once are handed to the cluster."""

    def __init__(self, jobs: Sequence[Job], submit: Callable[[Job], Any], at_once: int) -> None:
        self.waiting, self.submit, self.at_once = list(jobs), submit, at_once
        self.handed: dict[Any, Job] = {}
        self.said: dict[str, int] = {}

    def events(self) -> Iterator[Event]:
        """Say what happens, until each job is done or has failed; how far they are is read from their files."""
        while self.waiting or self.handed:
            while self.waiting and len(self.handed) < self.at_once:
                job = self.waiting.pop(0)
                self.handed[self.submit(job)] = job
            ended, _ = ray.wait(list(self.handed), timeout=LOOK_SECONDS)
            for job in self.handed.values():
                yield from self._progress(job)
            for reference in ended:
                job = self.handed.pop(reference)
                outcome = _outcome(reference, job)
                if isinstance(outcome, Done) and isinstance(job, Task):
                    yield Epoch(job.name, job.group.epochs)
                yield outcome

    def _progress(self, job: Job) -> Iterator[Event]:
        if not isinstance(job, Task):
            return
        found = read_as(Progress, job.path(progress_file))
        if found and found.epoch > self.said.get(job.name, 0):
            self.said[job.name] = found.epoch
            yield Epoch(job.name, found.epoch)

    def end(self) -> None:
        """Cancel what is still going on."""
        for reference in self.handed:
            with suppress(ray.exceptions.RayError):
                ray.cancel(reference, force=True)


def on_node(line: str, folder: str) -> dict[str, Any]:
    """Do a job on a node of the cluster, in the folder from which relative paths count."""
    make_reproducible()
    job_folder = Path(folder)
    if job_folder.is_dir():
        os.chdir(job_folder)
    return attempt(line, lambda epoch: None)


def _outcome(reference: Any, job: Job) -> Event:
    try:
        answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        first = str(error).strip().splitlines()[0]
        return Failed(job.name, f"{type(error).__name__}: {first}")
    return outcome(job.name, answer)
