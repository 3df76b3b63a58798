"""Sees before a training begins whether a group can be trained on the batches that it would meet."""

import torch
from torch import nn

from schemas.errors import UsageError
from zoo.datasets import Dataset
from zoo.group import Group
from zoo.train import used_samples


def check_batches(group: Group, dataset: Dataset) -> None:
    """Raise UsageError if a batch is larger than the data, or leaves batch normalisation nothing to learn from.

    The samples that full batches leave over are a batch of their own. One of one sample is fine, unless a
    batch normalisation gets a single value a channel from it, whose variance is 0.
    """
    samples = len(used_samples(dataset.train, group.data_fraction))
    if group.batch_size > samples:
        raise UsageError(
            f"batch_size = {group.batch_size}: dataset {dataset.name} has {samples} training samples"
            f"{_of(group)}; expected at most {samples}"
        )
    last = samples % group.batch_size or group.batch_size
    if last == 1 and _starved(group, dataset):
        raise UsageError(
            f"batch_size = {group.batch_size}: {samples} training samples{_of(group)} leave a last batch of one, "
            f"from which the batch normalisation of a {group.architecture} learns nothing (one value a channel); "
            f"{_mended(group, samples)}"
        )


def _of(group: Group) -> str:
    return f" at data_fraction = {group.data_fraction}" if group.data_fraction != 1 else ""


def _mended(group: Group, samples: int) -> str:
    """Say what to take instead: the nearest sizes of batches that leave none or two or more."""
    below = next((size for size in range(group.batch_size - 1, 1, -1) if samples % size != 1), None)
    above = next((size for size in range(group.batch_size + 1, samples + 1) if samples % size != 1), None)
    sizes = " or ".join(str(size) for size in (below, above) if size)
    other = f"{group.architecture}-groupnorm" if group.architecture.startswith("resnet") else ""
    return f"take batch_size = {sizes}" + (f", or the architecture {other}" if other else "")


def _starved(group: Group, dataset: Dataset) -> bool:
    """Whether normalising layers would get one value a channel from one sample: torch refuses to learn from that."""
    learner = group.skeleton(dataset.input_shape, dataset.classes).train()
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in learner.modules()):
        return False
    try:
        learner(torch.empty(1, *dataset.input_shape, device="meta"))
    except ValueError:
        return True
    return False
