"""A build on its way: which groups are done, which are missing, and which of those that are done wait for the lake."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import torch

from schemas import Lake, LakeBusy, OutsideError, UsageError
from schemas.files import UNFINISHED
from zoo.backends import Conditions, choose
from zoo.batches import check_batches
from zoo.datasets import Dataset, load_dataset
from zoo.engines import Done, Engine, Epoch, Failed
from zoo.environment import software
from zoo.group import Group
from zoo.locate import InShard, locate
from zoo.manner import Manner
from zoo.precision import precision_of
from zoo.recipe import Recipe
from zoo.register import register_failure, register_group, register_population
from zoo.results import (
    Failure,
    GroupResult,
    PopulationFile,
    failure_file,
    population_file,
    progress_file,
    read_population,
    read_result,
    state_file,
    write_model,
)
from zoo.starts import check_starts
from zoo.task import Task

Progress = Callable[[int, int, str], None]
"""Hears of epochs done, epochs in all, and the group that has just completed one."""

COMPLETE = """
SELECT 1 FROM population WHERE population_id = $population_id AND state = 'complete'
AND members = (
    SELECT count(*) FROM member SEMI JOIN model USING (model_id)
    WHERE population_id = $population_id AND state <> 'failed'
)
"""
PATIENCE_WHILE_TRAINING = 1.0
"""Seconds that registering a group waits for the lake while others are still trained."""


class Construction:
    """The population of a recipe while it is built."""

    def __init__(self, lake: Lake, recipe: Recipe, device: str, clock: Callable[[], datetime], manner: Manner) -> None:
        self.lake, self.recipe, self.device = lake, recipe, device
        self.clock, self.manner = clock, manner
        self.weights = lake.weights.folder.resolve()
        self.groups = {group.name: group for group in self.recipe.groups()}
        self.failures: list[Failure] = []
        self.population = self._known() or self._planned(clock())
        self.look()

    def begin(self) -> None:
        """Fix what is built, unless that is done, and look again: another process may just have built on."""
        known = self._known()
        if known is None:
            self.population = self.population.model_copy(update={"created_at": self.clock()})  # after its parents
            write_model(population_file(self.weights, self.recipe.population_id), self.population, indent=1)
        else:
            self.population = known
        self._tidy()
        self.look()

    def announce(self) -> None:
        """Let the lake show that the population is being built, if nobody holds it."""
        with suppress(LakeBusy), self.lake.write(PATIENCE_WHILE_TRAINING) as transaction:
            register_population(transaction, self.population)

    def look(self) -> None:
        """See which groups are done and which are missing."""
        results = {name: self._result(group) for name, group in self.groups.items()}
        self.waiting: list[GroupResult] = [result for result in results.values() if result]
        missing = [self.groups[name] for name, result in results.items() if not result]
        # those that take longest first, so that no core has nothing to do in the end
        self.missing: list[Group] = sorted(missing, key=lambda group: (-group.width, group.batch_size))

    def complete(self) -> bool:
        """Whether there is nothing to do."""
        if self.missing or not self.lake.database.exists():
            return False
        rows = self.lake.sql(COMPLETE, population_id=self.recipe.population_id)
        return not rows.is_empty()

    def dataset(self) -> Dataset:
        """Load the dataset and see that the grid can be trained on it, before anything is written.

        Raises:
            UsageError: It is too small for a batch, a batch of one is left over that nothing can be learned
                from, its samples do not suit the architecture or the parent, or it is another one than when the
                population was begun.
        """
        dataset = load_dataset(self.recipe.dataset, self.recipe.split_seed)
        precision = precision_of(self.recipe.precision)
        conditions = Conditions(dataset.input_shape, dataset.classes, torch.device(self.device), precision)
        for group in self.groups.values():
            group.skeleton(dataset.input_shape, dataset.classes)
            choose(group, conditions, self.manner.backend)
            check_batches(group, dataset)
        check_starts(self.recipe, dataset, self.weights)
        known = self._known()
        if known and known.dataset_sha256 != dataset.sha256:
            raise UsageError(
                f"dataset {self.recipe.dataset} has changed since {self.recipe.population_id} was begun; "
                "bring the old data back, or build it in another lake"
            )
        return dataset

    def train(self, engine: Engine, progress: Progress | None) -> list[Failed]:
        """Train the groups that are missing and register them as the lake is free; gives those that failed."""
        done = {group.name: 0 for group in self.missing}
        total = sum(group.epochs for group in self.groups.values())
        before = total - sum(group.epochs for group in self.missing)
        failed: list[Failed] = []
        with engine.events([self.task(group) for group in self.missing]) as events:
            for event in events:
                if isinstance(event, Failed):
                    failed.append(event)
                    self._note_failure(event, done[event.group] + 1)
                    if event.outside:
                        break
                elif isinstance(event, Epoch):
                    done[event.group] = event.epoch
                    if progress:
                        progress(before + sum(done.values()), total, event.group)
                else:
                    self._take_over(event)
        return failed

    def task(self, group: Group) -> Task:
        """What a worker has to know to train a group."""
        return Task(
            group=group,
            dataset=self.recipe.dataset,
            split_seed=self.recipe.split_seed,
            dataset_sha256=self.population.dataset_sha256,
            weights=self.weights,
            population_id=self.recipe.population_id,
            device=self.device,
            starts=self._starts(group),
            backend=self.manner.backend,
            precision=self.recipe.precision,
            keep_seconds=self.manner.keep_seconds,
        )

    def register(self, wait: float | None) -> None:
        """Put every group that is done or has failed into the lake, a transaction each."""
        try:
            while self.waiting:
                with self.lake.write(wait) as transaction:
                    register_group(transaction, self.population, self.waiting[0])
                self.waiting.pop(0)
            while self.failures:
                with self.lake.write(wait) as transaction:
                    register_failure(transaction, self.population, self.failures[0])
                self.failures.pop(0)
        except LakeBusy as error:
            raise LakeBusy(
                f"{self.recipe.population_id} is trained and lies in {self.weights}, nothing is lost, but it "
                f"could not be registered: {error}; run the same build again once the lake is free"
            ) from error

    def _known(self) -> PopulationFile | None:
        return read_population(self.weights, self.recipe.population_id)

    def _tidy(self) -> None:
        """Take away what a killed build has left half written, and the reasons of failures that are tried again."""
        folder = self.weights / self.recipe.population_id
        for path in (*folder.glob(f".*{UNFINISHED}"), *folder.glob("*.failure")):
            path.unlink(missing_ok=True)
        for name, group in self.groups.items():
            if self._result(group):
                for of in (state_file, progress_file):
                    of(self.weights, self.recipe.population_id, name).unlink(missing_ok=True)

    def _result(self, group: Group) -> GroupResult | None:
        return read_result(self.weights, self.recipe.population_id, group, self.population.dataset_sha256)

    def _planned(self, now: datetime) -> PopulationFile:
        recipe, dataset = self.recipe, self.dataset()
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
            software=software(),
            created_at=now,
        )

    def _starts(self, group: Group) -> list[tuple[str, int]] | None:
        """Where the weights lie that the members of a fine-tune start from."""
        parents = [member.parent for member in group.members if member.parent is not None]
        if not parents:
            return None
        places = locate(self.lake, parents, [None] * len(parents))
        return [(place.shard, place.row) for place in places if isinstance(place, InShard)]

    def _take_over(self, event: Done) -> None:
        result = self._result(self.groups[event.group])
        assert result is not None, "a worker says done after the files are whole"  # noqa: S101 - its promise
        self.waiting.append(result)
        with suppress(OutsideError):  # it stays on the list until the lake is free and its disk has room
            self.register(PATIENCE_WHILE_TRAINING)

    def _note_failure(self, event: Failed, epoch: int) -> None:
        group = self.groups[event.group]
        failure = Failure(group=group, reason=event.reason, epoch=epoch, happened_at=self.clock())
        with suppress(OutsideError):  # a full disk may be what failed
            write_model(failure_file(self.weights, self.recipe.population_id, group.name), failure)
        self.failures.append(failure)
        with suppress(OutsideError):
            self.register(PATIENCE_WHILE_TRAINING)
