"""The training of one group by one process, and what it leaves on disk on its way and at its end."""

import math
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from schemas.errors import DataError, UsageError
from schemas.weights import WeightStore
from zoo.backends import AUTO, Choice, Conditions, choose
from zoo.datasets import Dataset
from zoo.kept import Kept, keep, read_kept
from zoo.population import Weights, member
from zoo.precision import precision_of
from zoo.results import Curves, GroupResult, Shard, progress_file, result_file, state_file, write_model
from zoo.sitting import Clock
from zoo.state import State, restore, state_of
from zoo.task import Task, fingerprint, once_loaded, start_of
from zoo.train import Training

SAY_SECONDS = 5.0


def perform(task: Task, progress: Callable[[int], None]) -> GroupResult:
    """Train a group and write its shards, and then the result file that says that it is done.

    The training is kept every `task.keep_seconds`, and one that was kept goes on.

    Args:
        task: The group.
        progress: Is called with the number of epochs done after each of them.

    Raises:
        DataError: The dataset is another one than when the build began, or weights to start from have
            other shapes than the group's.
        UsageError: The backend or the precision is unknown, or not for such a group.
        OutsideError: The disk is full or cannot be written, or not even one member fits in memory.
    """
    dataset = once_loaded(task.dataset, task.split_seed)
    if dataset.sha256 != task.dataset_sha256:
        raise DataError(f"dataset {task.dataset} was changed while the population was being built")
    work = Work(task, dataset)
    work.train(progress)
    return work.finish()


class Work:
    """A group's training on its way: it begins, or goes on from what was kept of it."""

    def __init__(self, task: Task, dataset: Dataset) -> None:
        self.task, self.group, self.dataset = task, task.group, dataset
        device = torch.device(task.device)
        found = read_kept(task.path(state_file), task.weights, task.group, dataset.sha256)
        precision = precision_of(task.precision)
        conditions = Conditions(dataset.input_shape, dataset.classes, device, precision)
        choice, kept, state = _begun_with(task, conditions, found)
        start = None if kept else start_of(task, dataset)
        self.kept = kept or _beginning(task, dataset, choice, start or {})
        self.training = Training(
            self.group,
            dataset.splits,
            choice,
            device=device,
            start=start,
            precision=precision,
        )
        if state is not None:
            restore(self.training, state)
        steps = math.ceil(len(self.training.splits.train) / self.group.batch_size)
        done = self.training.epoch * steps + self.training.position
        self.clock = Clock(device, choice, done, self.group.epochs * steps, precision)

    def train(self, progress: Callable[[int], None]) -> None:
        """Train to the end, write each checkpoint as it is reached, and say after each epoch that it is done."""
        wanted = {*self.group.checkpoint_epochs, self.group.epochs}
        self._say()
        while True:
            epoch = self.training.epoch
            if epoch in wanted and epoch not in self.kept.checkpoints:
                self.kept = self.kept.with_checkpoint(epoch, self._write_shard(epoch))
            if epoch == self.group.epochs:
                return
            self.training.next_epoch(self._after_step)
            progress(self.training.epoch)

    def finish(self) -> GroupResult:
        """Write the result, and take away what was kept to go on from."""
        curves, epochs, reasons = self.training.findings()
        module = self.group.skeleton(self.dataset.input_shape, self.dataset.classes)
        result = GroupResult(
            group=self.group,
            dataset_sha256=self.dataset.sha256,
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            initialisations=self.kept.initialisations,
            diverged_epochs=list(epochs),
            diverged_reasons=list(reasons),
            backend=self.clock.choice.name,
            backend_reason=self.clock.choice.reason,
            curves=_listed(curves),
            checkpoints=self.kept.checkpoints,
            sittings=[*self.kept.sittings, self.clock.sitting()],
        )
        write_model(self.task.path(result_file), result)
        for file in (state_file, progress_file):
            self.task.path(file).unlink(missing_ok=True)
        return result

    def _after_step(self) -> None:
        self.clock.tick()
        if self.clock.since("kept") >= self.task.keep_seconds:
            keep(self.task.path(state_file), self.kept.with_sitting(self.clock.sitting()), state_of(self.training))
            self.clock.note("kept")
        if self.clock.since("said") >= SAY_SECONDS:
            self._say()

    def _say(self) -> None:
        write_model(self.task.path(progress_file), self.clock.progress(self.training.epoch))
        self.clock.note("said")

    def _write_shard(self, epoch: int) -> Shard:
        path = f"{self.task.population_id}/{self.group.name}-e{epoch}.safetensors"
        digest = WeightStore(self.task.weights).write(path, self.training.checkpoint())
        return Shard(path=path, sha256=digest, stored_bytes=(self.task.weights / path).stat().st_size)


def _begun_with(
    task: Task, conditions: Conditions, found: tuple[Kept, State] | None
) -> tuple[Choice, Kept | None, State | None]:
    """Choose a backend: the one that a training was begun with, unless another is asked for, which begins anew."""
    choice = choose(task.group, conditions, task.backend)
    if found is None or found[0].precision != task.precision:
        return choice, None, None
    if found[0].backend != choice.name:
        if task.backend != AUTO:
            return choice, None, None
        with suppress(UsageError):  # it is not offered here
            choice = Choice(choose(task.group, conditions, found[0].backend).name, "begun with it")
    return (choice, *found) if found[0].backend == choice.name else (choice, None, None)


def _beginning(task: Task, dataset: Dataset, choice: Choice, start: Weights) -> Kept:
    return Kept(
        group=task.group,
        dataset_sha256=dataset.sha256,
        precision=task.precision,
        backend=choice.name,
        initialisations=[fingerprint(member(start, row)) for row in range(len(task.group.members))],
        checkpoints={},
        sittings=[],
    )


def _listed(curves: dict[tuple[str, str], Tensor]) -> Curves:
    listed: Curves = {}
    for (split, metric), curve in curves.items():
        listed.setdefault(split, {})[metric] = _finite(curve)
    return listed


def _finite(curve: Tensor) -> list[list[float | None]]:
    return [[value if math.isfinite(value) else None for value in row] for row in curve.tolist()]
