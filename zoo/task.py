"""One group to train: what a worker has to know, and the files that it leaves."""

import math
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch
from pydantic import BaseModel
from torch import Tensor

from schemas.errors import DataError
from schemas.files import write_whole
from schemas.weights import WeightStore
from zoo.backends import AUTO
from zoo.datasets import Dataset, load_dataset
from zoo.group import Group
from zoo.population import Weights, member, stack
from zoo.results import Curves, GroupResult, Shard, result_file
from zoo.train import Trained, initial_weights, train


class Task(BaseModel):
    """One group to train, on what, where, and where its files go."""

    group: Group
    dataset: str
    split_seed: int
    dataset_sha256: str
    weights: Path
    population_id: str
    device: str
    backend: str = AUTO
    """How it is trained, a name in `zoo.backends.BACKENDS`, or `auto`."""
    starts: list[tuple[str, int]] | None = None
    """Shard and row of the weights that each member starts from, if they are others' weights."""


def perform(task: Task, progress: Callable[[int], None]) -> GroupResult:
    """Train a group and write its shards, and then the result file that says that it is done.

    Raises:
        DataError: The dataset is another one than when the build began, or weights to start from have
            other shapes than the group's.
        OutsideError: The disk is full or cannot be written.
    """
    dataset = _dataset(task.dataset, task.split_seed)
    if dataset.sha256 != task.dataset_sha256:
        raise DataError(f"dataset {task.dataset} was changed while the population was being built")
    start = _start(task, dataset)
    device = torch.device(task.device)
    trained = train(task.group, dataset.splits, device=device, start=start, progress=progress, backend=task.backend)
    module = task.group.skeleton(dataset.input_shape, dataset.classes)
    result = GroupResult(
        group=task.group,
        dataset_sha256=dataset.sha256,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        initialisations=[fingerprint(member(start, row)) for row in range(len(task.group.members))],
        diverged_epochs=list(trained.diverged_epoch),
        backend=trained.choice.name,
        backend_reason=trained.choice.reason,
        curves=_curves(trained),
        checkpoints={epoch: _write_shard(task, epoch, weights) for epoch, weights in trained.checkpoints.items()},
    )
    path = result_file(task.weights, task.population_id, task.group.name)
    write_whole(path, result.model_dump_json().encode())
    return result


def fingerprint(weights: Weights) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names, shapes and values of a model's weights."""
    digest = sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def _start(task: Task, dataset: Dataset) -> Weights:
    """Weights that the members start from: drawn, or those of the models that the task names."""
    drawn = initial_weights(task.group, dataset.input_shape, dataset.classes)
    if task.starts is None:
        return drawn
    store = WeightStore(task.weights)
    read = [store.read_member(shard, row) for shard, row in task.starts]
    wanted = {name: tensor.shape[1:] for name, tensor in drawn.items()}
    for weights, settings in zip(read, task.group.members, strict=True):
        if {name: tensor.shape for name, tensor in weights.items()} != wanted:
            raise DataError(
                f"{settings.parent} has other shapes than a {task.group.architecture} of width {task.group.width}, "
                f"so {settings.name} cannot start from it; the recipes need the same architecture and classes"
            )
    return stack(read)


@lru_cache(maxsize=1)
def _dataset(name: str, split_seed: int) -> Dataset:
    return load_dataset(name, split_seed)


def _write_shard(task: Task, epoch: int, weights: Weights) -> Shard:
    path = f"{task.population_id}/{task.group.name}-e{epoch}.safetensors"
    digest = WeightStore(task.weights).write(path, weights)
    return Shard(path=path, sha256=digest, stored_bytes=(task.weights / path).stat().st_size)


def _curves(trained: Trained) -> Curves:
    curves: Curves = {}
    for (split, metric), curve in trained.curves.items():
        curves.setdefault(split, {})[metric] = _finite(curve)
    return curves


def _finite(curve: Tensor) -> list[list[float | None]]:
    return [[value if math.isfinite(value) else None for value in row] for row in curve.tolist()]
