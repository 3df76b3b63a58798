"""Builds populations: recipe in, trained members with their weights and rows in the lake out."""

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from schemas import Lake, LakeBusy, OutsideError, UsageError
from schemas.files import write_whole
from zoo.backends import AUTO, Conditions, choose
from zoo.crew import Crew, Epoch, Failed
from zoo.datasets import Dataset, load_dataset
from zoo.device import chosen_device
from zoo.group import Group
from zoo.locate import InShard, locate
from zoo.lock import sole_builder
from zoo.recipe import Recipe, load_recipe
from zoo.register import register_group, register_population
from zoo.results import GroupResult, PopulationFile, population_file, read_population, read_result
from zoo.task import Task
from zoo.train import used_samples

Progress = Callable[[int, int, str], None]
"""Hears of epochs done, epochs in all, and the group that has just completed one."""

COMPLETE = """
SELECT 1 FROM population WHERE population_id = $population_id AND state = 'complete'
AND members = (SELECT count(*) FROM member WHERE population_id = $population_id)
"""
PATIENCE_WHILE_TRAINING = 1.0
"""Seconds that registering a group waits for the lake while others are still trained."""


def _now() -> datetime:
    return datetime.now(UTC)


def build(
    lake: Lake,
    recipe: str | Path | Recipe,
    *,
    device: str = "auto",
    workers: int | None = None,
    backend: str = AUTO,
    progress: Progress | None = None,
    clock: Callable[[], datetime] = _now,
) -> str:
    """Train the population of a recipe and give its population_id; go on where an earlier build stopped.

    Groups are trained by worker processes with one thread each. What they have done lies in files
    first and is registered in the lake when that is free, so nothing that is trained is trained
    again, whenever a build was killed. A population that is complete is left alone.

    Args:
        lake: Where the rows and weights go; it is held for moments only.
        recipe: A recipe, its file, or the name of one that comes with the zoo.
        device: `cpu`, `cuda`, or `auto`: cuda if there is one.
        workers: Processes; without it one a core, and one alone on cuda.
        backend: How groups are trained: a name in `zoo.backends.BACKENDS`, or `auto`, the fastest for each.
        progress: Is called after each epoch of each group.
        clock: Says when the build begins.

    Raises:
        UsageError: The recipe, the device, the backend or the number of workers cannot be, or the dataset
            is too small for a batch, or another one than at an earlier build.
        DataError: The dataset cannot be read.
        OutsideError: The disk is full, or a worker died; all other groups were finished. Or another
            process is building this very population.
        LakeBusy: All is trained, but another process kept the lake; a later build only registers.
    """
    recipe = _as_begun(lake.weights.folder, recipe if isinstance(recipe, Recipe) else load_recipe(recipe))
    place = chosen_device(device)
    crew_size = _workers(workers, place)
    if lake.read_only:
        raise UsageError(f"{lake.path} was opened with read_only=True; a build needs to write")
    if recipe.ancestor is not None:
        _build_ancestor(lake, recipe.ancestor, device, workers, backend, progress, clock)
    construction = _Construction(lake, recipe, place, clock, backend)
    if not construction.complete():
        with sole_builder(lake.weights.folder, recipe.population_id):
            construction.begin()
            construction.announce()
            failures = construction.train(crew_size, progress)
            construction.register(None)
        if failures:
            raise OutsideError(_explained(failures, len(construction.groups)))
    return recipe.population_id


def _build_ancestor(
    lake: Lake,
    ancestor: Recipe,
    device: str,
    workers: int | None,
    backend: str,
    progress: Progress | None,
    clock: Callable[[], datetime],
) -> None:
    """Build what a recipe fine-tunes, unless it is built; its members are the parents under its own name."""
    built = build(lake, ancestor, device=device, workers=workers, backend=backend, progress=progress, clock=clock)
    if built != ancestor.population_id:
        raise UsageError(f"the parent {ancestor.name} is in this lake as {built}; name the recipe's parent so")


def _as_begun(weights: Path, recipe: Recipe) -> Recipe:
    """A recipe that was built under another name already is the population of that name."""
    for path in sorted(weights.glob(f"*-{recipe.sha256[:8]}")):
        known = read_population(weights, path.name)
        if known and known.recipe_sha256 == recipe.sha256:
            return recipe.model_copy(update={"name": known.name})
    return recipe


class _Construction:
    """A build on its way: which groups are done, and which of those wait for the lake."""

    def __init__(
        self, lake: Lake, recipe: Recipe, device: str, clock: Callable[[], datetime], backend: str = AUTO
    ) -> None:
        self.lake, self.recipe, self.device, self.backend = lake, recipe, device, backend
        self.weights = lake.weights.folder
        self.groups = {group.name: group for group in recipe.groups()}
        self.population = self._known() or self._planned(clock())
        self._look()

    def begin(self) -> None:
        """Fix what is built, unless that is done, and look again: another process may just have built on."""
        known = self._known()
        if known is None:
            path = population_file(self.weights, self.recipe.population_id)
            write_whole(path, self.population.model_dump_json(indent=1).encode())
        else:
            self.population = known
        self._look()

    def announce(self) -> None:
        """Let the lake show that the population is being built, if nobody holds it."""
        with suppress(LakeBusy), self.lake.write(PATIENCE_WHILE_TRAINING) as transaction:
            register_population(transaction, self.population)

    def _known(self) -> PopulationFile | None:
        return read_population(self.weights, self.recipe.population_id)

    def _look(self) -> None:
        """See which groups are done and which are missing."""
        results = {name: self._result(group) for name, group in self.groups.items()}
        self.waiting: list[GroupResult] = [result for result in results.values() if result]
        missing = [self.groups[name] for name, result in results.items() if not result]
        # those that take longest first, so that no core has nothing to do in the end
        self.missing: list[Group] = sorted(missing, key=lambda group: (-group.width, group.batch_size))

    def _result(self, group: Group) -> GroupResult | None:
        return read_result(self.weights, self.recipe.population_id, group, self.population.dataset_sha256)

    def _planned(self, now: datetime) -> PopulationFile:
        recipe, dataset = self.recipe, self._dataset()
        return PopulationFile(
            population_id=recipe.population_id,
            name=recipe.name,
            recipe=recipe.model_dump(mode="json"),
            recipe_sha256=recipe.sha256,
            architecture=recipe.architecture,
            dataset=recipe.dataset,
            dataset_sha256=dataset.sha256,
            split_seed=recipe.split_seed,
            classes=dataset.classes,
            input_shape=dataset.input_shape,
            members=recipe.members,
            device=self.device,
            software=_software(),
            created_at=now,
        )

    def _dataset(self) -> Dataset:
        """Load the dataset and see that the grid can be trained on it, before anything is written."""
        dataset = load_dataset(self.recipe.dataset, self.recipe.split_seed)
        for group in self.groups.values():
            group.skeleton(dataset.input_shape, dataset.classes)
            choose(group, Conditions(dataset.input_shape, dataset.classes, torch.device(self.device)), self.backend)
        fraction = min(self.recipe.grid.data_fraction, default=1.0)
        largest, samples = max(self.recipe.grid.batch_size), len(used_samples(dataset.train, fraction))
        if largest > samples:
            raise UsageError(
                f"batch_size = {largest}: dataset {self.recipe.dataset} has {samples} training samples; "
                f"expected at most {samples}"
            )
        return dataset

    def complete(self) -> bool:
        """Whether there is nothing to do."""
        if self.missing:
            return False
        rows = self.lake.sql(COMPLETE, population_id=self.recipe.population_id)
        return not rows.is_empty()

    def train(self, workers: int, progress: Progress | None) -> list[Failed]:
        """Train the groups that are missing and register them as the lake is free; gives those that failed."""
        if self.missing and self._dataset().sha256 != self.population.dataset_sha256:
            raise UsageError(
                f"dataset {self.recipe.dataset} has changed since {self.recipe.population_id} was begun; "
                "bring the old data back or give the recipe another name"
            )
        done = {group.name: 0 for group in self.missing}
        total = sum(group.epochs for group in self.groups.values())
        before = total - sum(group.epochs for group in self.missing)
        failures: list[Failed] = []
        with Crew([self._task(group) for group in self.missing], workers) as crew:
            for event in crew.events():
                if isinstance(event, Failed):
                    failures.append(event)
                    if event.outside:
                        break
                elif isinstance(event, Epoch):
                    done[event.group] = event.epoch
                    if progress:
                        progress(before + sum(done.values()), total, event.group)
                else:
                    self._take_over(event.group)
        return failures

    def _task(self, group: Group) -> Task:
        return Task(
            group=group,
            dataset=self.recipe.dataset,
            split_seed=self.recipe.split_seed,
            dataset_sha256=self.population.dataset_sha256,
            weights=self.weights,
            population_id=self.recipe.population_id,
            device=self.device,
            backend=self.backend,
            starts=self._starts(group),
        )

    def _starts(self, group: Group) -> list[tuple[str, int]] | None:
        """Where the weights lie that the members of a fine-tune start from."""
        parents = [member.parent for member in group.members if member.parent is not None]
        if not parents:
            return None
        places = locate(self.lake, parents, [None] * len(parents))
        return [(place.shard, place.row) for place in places if isinstance(place, InShard)]

    def _take_over(self, group: str) -> None:
        result = self._result(self.groups[group])
        assert result is not None, "a worker says done after the files are whole"  # noqa: S101 - its promise
        self.waiting.append(result)
        with suppress(LakeBusy):  # it stays on the list until the lake is free
            self.register(PATIENCE_WHILE_TRAINING)

    def register(self, wait: float | None) -> None:
        """Put every group that is done into the lake, a transaction each."""
        try:
            while self.waiting:
                with self.lake.write(wait) as transaction:
                    register_group(transaction, self.population, self.waiting[0])
                self.waiting.pop(0)
        except LakeBusy as error:
            raise LakeBusy(
                f"{self.recipe.population_id} is trained and lies in {self.weights}, nothing is lost, but it "
                f"could not be registered: {error}; run the same build again once the lake is free"
            ) from error


def _explained(failures: Sequence[Failed], groups: int) -> str:
    """One sentence for all failures; groups that failed for the same reason stand together."""
    names: dict[str, list[str]] = {}
    for failure in failures:
        names.setdefault(failure.reason, []).append(failure.group)
    reasons = "; ".join(f"{', '.join(failed)}: {reason}" for reason, failed in names.items())
    return f"{len(failures)} of {groups} groups could not be trained, run the build again to go on: {reasons}"


def _workers(number: int | None, device: str) -> int:
    if number is not None and number < 1:
        raise UsageError(f"workers = {number}: expected at least 1, or None for one a core")
    if device == "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return number or cores or 1


def _software() -> str:
    return f"weightlake {version('weightlake')}, torch {torch.__version__}, Python {platform.python_version()}"
