"""One dataset in three parts, and how arrays of samples and classes become one."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.errors import DataError, UsageError
from zoo.mistakes import expected_one_of
from zoo.population import Samples
from zoo.randomness import generator
from zoo.train import Splits

Array = NDArray[np.generic]
Pair = tuple[Array, Array]
"""Samples and their classes."""

VALIDATION_SHARE = 0.15
TEST_SHARE = 0.15
COLOURS = (1, 3, 4)


@dataclass(frozen=True)
class Dataset:
    """A dataset in three parts, as `zoo.population.Samples`; images are float32 `[n, channels, height, width]`."""

    name: str
    split_seed: int
    classes: int
    train: Samples
    validation: Samples
    test: Samples
    sha256: str
    """Over the arrays before they were split: shapes, samples, classes."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample: channels, height and width of an image."""
        return tuple(self.train.x.shape[1:])

    @property
    def splits(self) -> Splits:
        """The parts as the trainer takes them."""
        return Splits(self.train, self.validation, self.test, self.classes)

    def part(self, name: str) -> Samples:
        """The samples of `train`, `validation` or `test`."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in parts:
            raise UsageError(f"{name!r} is no part of a dataset: {expected_one_of(name, parts)}")
        return parts[name]


def from_arrays(name: str, split_seed: int, pairs: list[Pair]) -> Dataset:
    """Make a dataset of one pair of samples and classes, or of two: for training and for test.

    15 % are for validation, and without a second pair 15 % for test, each class by the same shares.
    Samples are uint8 (scaled to 0 ... 1) or floating point, `[n, height, width]` or with channels
    first or last, or `[n, features]`; classes are whole numbers from 0.

    Raises:
        DataError: The arrays are something else than images with their classes.
    """
    checked = [Samples(_images(name, x), _classes(name, x, y)) for x, y in pairs]
    if len({samples.x.shape[1:] for samples in checked}) > 1:
        raise DataError(f"dataset {name}: the images for training and those for test have different shapes")
    classes = _number_of_classes(name, checked)
    if len(checked) == 2:
        train, validation = _split(checked[0], [VALIDATION_SHARE], classes, split_seed)
        test = checked[1]
    else:
        train, validation, test = _split(checked[0], [VALIDATION_SHARE, TEST_SHARE], classes, split_seed)
    if not all(map(len, (train, validation, test))):
        raise DataError(f"dataset {name} has too few samples: a part of it would be empty")
    return Dataset(name, split_seed, classes, train, validation, test, sha256_of(checked))


def _images(name: str, x: Array) -> torch.Tensor:
    """Samples as float32 `[n, channels, height, width]`."""
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise DataError(f"dataset {name}: the samples are {x.dtype}; expected uint8 or floating point")
    if 0 in x.shape[1:]:
        raise DataError(f"dataset {name}: the samples have shape {list(x.shape)}; expected at least one value in each")
    with np.errstate(over="ignore"):  # what float32 cannot hold is not finite below
        images = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    if x.dtype == np.uint8:
        images = images / 255
    if not images.isfinite().all():
        raise DataError(f"dataset {name}: some samples are not finite numbers")
    if images.ndim == 2:
        return images[:, None, None, :]
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[3] in COLOURS and images.shape[1] not in COLOURS:
        return images.movedim(3, 1).contiguous()
    if images.ndim == 4:
        return images
    raise DataError(f"dataset {name}: the samples have shape {list(x.shape)}; expected 2 to 4 axes, samples first")


def _classes(name: str, x: Array, y: Array) -> torch.Tensor:
    """Classes as int64 `[n]`."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != x.shape[:1] or not len(y):
        raise DataError(f"dataset {name}: {list(x.shape)} samples and {list(y.shape)} classes; expected one for each")
    if not np.issubdtype(y.dtype, np.integer) or int(y.min()) < 0:
        negative = f"{y.min()} is no class: " if np.issubdtype(y.dtype, np.integer) else ""
        raise DataError(f"dataset {name}: {negative}the classes are {y.dtype}; expected whole numbers from 0")
    if int(y.max()) > np.iinfo(np.int64).max:
        raise DataError(f"dataset {name}: {y.max()} is no class; expected the numbers 0, 1, 2 ... without a gap")
    return torch.from_numpy(y.astype(np.int64))


def _number_of_classes(name: str, pairs: list[Samples]) -> int:
    """One more than the largest class; training has samples of every class below it, or a label is a mistake."""
    present = np.unique(pairs[0].y.numpy())
    largest = max(int(samples.y.max()) for samples in pairs)
    if len(present) <= largest:
        gaps = np.flatnonzero(present != np.arange(len(present)))
        absent = gaps[0] if len(gaps) else len(present)
        raise DataError(
            f"dataset {name}: the largest class is {largest} and no training sample is of class {absent}; "
            "number the classes 0, 1, 2 ... without a gap"
        )
    return largest + 1


def _split(samples: Samples, shares: list[float], classes: int, split_seed: int) -> list[Samples]:
    """Draw parts of these shares, class by class; what is left comes first."""
    y = samples.y.numpy()
    counts = np.bincount(y, minlength=classes)
    begins = np.cumsum(counts) - counts
    sizes = np.rint(np.outer(shares, counts)).astype(np.int64)
    order = np.argsort(y, kind="stable")
    for label in np.flatnonzero(sizes.any(axis=0)).tolist():
        members = order[begins[label] : begins[label] + counts[label]]
        members[:] = members[torch.randperm(len(members), generator=generator("split", split_seed, label)).numpy()]
    rank = np.arange(len(y)) - np.repeat(begins, counts)
    starts = counts - np.cumsum(sizes[::-1], axis=0)[::-1]  # of each part in the shuffled members of each class
    part = (rank >= np.repeat(starts, counts, axis=1)).sum(axis=0)
    indices = [torch.from_numpy(np.sort(order[part == number])) for number in range(len(shares) + 1)]
    return [Samples(samples.x[chosen], samples.y[chosen]) for chosen in indices]


def sha256_of(pairs: list[Samples]) -> str:
    """SHA-256 over shapes, samples and classes."""
    digest = sha256()
    for samples in pairs:
        digest.update(str(list(samples.x.shape)).encode())
        digest.update(samples.x.numpy().tobytes())
        digest.update(samples.y.numpy().tobytes())
    return digest.hexdigest()
