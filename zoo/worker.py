"""A process that trains groups: tasks come in as lines of JSON, what happens goes out as lines of JSON.

`python -m zoo.worker` is started by `zoo.crew` and ends as soon as its standard input does, so that
no worker outlives the build that started it, however that one ended.
"""

import json
import math
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TextIO

import torch
from pydantic import BaseModel
from torch import Tensor

from schemas.errors import DataError, WeightlakeError
from schemas.weights import WeightStore
from zoo.datasets import Dataset, load_dataset
from zoo.group import Group
from zoo.population import Weights, member
from zoo.results import Curves, GroupResult, Shard, result_file, write_whole
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


def main() -> None:
    """Perform tasks until standard input ends."""
    answers = _take_standard_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build; it ends its workers itself
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.use_deterministic_algorithms(True)
    tasks: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=[tasks], daemon=True).start()
    while True:
        task = Task.model_validate_json(tasks.get())
        _answer(answers, **_attempt(task, lambda epoch: _answer(answers, event="epoch", epoch=epoch)))


def _attempt(task: Task, progress: Callable[[int], None]) -> dict[str, object]:
    try:
        perform(task, progress)
    except WeightlakeError as error:
        return {"event": "failed", "reason": str(error)}
    except Exception:  # noqa: BLE001 - whatever it is, the build reports it with the group's name
        return {"event": "failed", "reason": traceback.format_exc()}
    return {"event": "done"}


def _listen(tasks: queue.Queue[str]) -> None:
    for line in sys.stdin:
        tasks.put(line)
    os._exit(0)


def _take_standard_output() -> TextIO:
    """Keep standard output for answers alone; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(answers: TextIO, **fields: object) -> None:
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
