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
from zoo.datasets import Dataset, load_dataset
from zoo.group import Group
from zoo.population import Weights, member
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


def perform(task: Task, progress: Callable[[int], None]) -> GroupResult:
    """Train a group and write its shards, and then the result file that says that it is done.

    Raises:
        DataError: The dataset is another one than when the build began.
        OutsideError: The disk is full or cannot be written.
    """
    dataset = _dataset(task.dataset, task.split_seed)
    if dataset.sha256 != task.dataset_sha256:
        raise DataError(f"dataset {task.dataset} was changed while the population was being built")
    trained = train(task.group, dataset.splits, device=torch.device(task.device), progress=progress)
    start = initial_weights(task.group, dataset.input_shape, dataset.classes)
    result = GroupResult(
        group=task.group,
        dataset_sha256=dataset.sha256,
        parameters=sum(tensor.numel() for tensor in member(start, 0).values()),
        initialisations=[fingerprint(member(start, row)) for row in range(len(task.group.members))],
        diverged_epochs=list(trained.diverged_epoch),
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
