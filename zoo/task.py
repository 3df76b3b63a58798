"""One group to train: what a worker has to know, and where the group starts from."""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from schemas.errors import DataError
from schemas.weights import WeightStore
from zoo.backends import AUTO
from zoo.datasets import Dataset, load_dataset
from zoo.group import Group
from zoo.population import Weights, stack
from zoo.train import initial_weights

KEEP_SECONDS = 60.0


class Task(BaseModel):
    """One group to train, on what, where, and where its files go."""

    kind: Literal["train"] = "train"
    group: Group
    dataset: str
    split_seed: int
    dataset_sha256: str
    weights: Path
    population_id: str
    device: str
    starts: list[tuple[str, int]] | None = None
    """Shard and row of the weights that each member starts from, if they are others' weights."""
    backend: str = AUTO
    precision: str | None = None
    """A smaller floating point type for forward and backward passes, such as bfloat16."""
    keep_seconds: float = KEEP_SECONDS
    """How often the training is kept, to go on from there."""

    @property
    def name(self) -> str:
        """The group's name."""
        return self.group.name

    def path(self, of: Callable[[Path, str, str], Path]) -> Path:
        """Where a file of the group lies, e.g. `zoo.results.state_file`."""
        return of(self.weights, self.population_id, self.group.name)


def fingerprint(weights: Weights) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names, shapes and values of a model's weights."""
    digest = sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def start_of(task: Task, dataset: Dataset) -> Weights:
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
def once_loaded(name: str, split_seed: int) -> Dataset:
    """Load a dataset, or give the one that was loaded last."""
    return load_dataset(name, split_seed)
