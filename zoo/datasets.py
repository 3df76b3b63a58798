"""Datasets: images with classes, and one fixed split of them into train, validation and test."""

import zipfile
import zlib
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.errors import DataError, UsageError
from zoo.mistakes import expected_one_of
from zoo.population import Samples
from zoo.randomness import generator
from zoo.train import Splits

Array = NDArray[np.generic]

VALIDATION_SHARE = 0.15
TEST_SHARE = 0.15
COLOURS = (1, 3, 4)
OBJECT_ARRAY = "Object arrays cannot be loaded"  # how numpy refuses one


@dataclass(frozen=True)
class Dataset:
    """A dataset in three parts; samples are float32 `[n, channels, height, width]`, classes int64."""

    name: str
    split_seed: int
    classes: int
    train: Samples
    validation: Samples
    test: Samples
    sha256: str
    """Over the arrays before they were split: shapes, samples, classes."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one sample."""
        channels, height, width = self.train.x.shape[1:]
        return channels, height, width

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


def check_name(name: str) -> str:
    """Give the name back if a dataset can be called so; raise ValueError with the choices if not."""
    if name != "digits" and not (name.startswith("npz:") and len(name) > len("npz:")):
        raise ValueError(f"{expected_one_of(name, ['digits', 'npz:PATH'])}")
    return name


def load_dataset(name: str, split_seed: int = 0) -> Dataset:
    """Load a dataset and split it, each class by the same shares.

    `digits` are scikit-learn's 1,797 grey images of 8 x 8. `npz:PATH` is a file that numpy wrote,
    with arrays `x_train, y_train` and if it has them `x_test, y_test`, or `x, y`; `x` is uint8
    (scaled to 0 ... 1) or floating point, `[n, height, width]` or with channels first or last, or
    `[n, features]`; `y` holds whole numbers from 0, and each of them up to the largest is the class of
    a training sample. PATH counts from the current folder.

    15 % are for validation and 15 % for test; test arrays of the file stay the test.

    Args:
        name: The dataset.
        split_seed: Which samples are for what hangs on it, and on nothing else.

    Raises:
        UsageError: There is no such dataset or file.
        DataError: The file holds something else than images with their classes.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"dataset {name!r} is unknown: {error}") from error
    if name == "digits":
        return _dataset(name, split_seed, [_digits()])
    return _dataset(name, split_seed, _arrays(Path(name.removeprefix("npz:"))))


def _digits() -> tuple[Array, Array]:
    """Read scikit-learn's file; importing the library for it would cost every worker process two seconds."""
    library = find_spec("sklearn")
    assert library is not None and library.origin is not None  # noqa: S101, PT018 - it is one of our dependencies
    table = np.loadtxt(Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return (table[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32), table[:, -1].astype(np.int64)


def _arrays(path: Path) -> list[tuple[Array, Array]]:
    """The file's samples and classes: one pair that is still to be split, or train and test."""
    try:
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"dataset {path} is a single array; expected an .npz file with x_train and y_train")
            for keys in (("x_train", "y_train", "x_test", "y_test"), ("x_train", "y_train"), ("x", "y")):
                if set(keys) <= set(file.files):
                    return [(file[x], file[y]) for x, y in zip(keys[::2], keys[1::2], strict=True)]
            found = ", ".join(file.files) or "nothing"
    except FileNotFoundError as error:
        raise UsageError(f"dataset {path} does not exist; npz:PATH counts from the current folder") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"dataset {path} {_damage(error)}") from error
    raise DataError(f"dataset {path} holds {found}; expected x_train and y_train, or x and y")


def _damage(error: Exception) -> str:
    """What is wrong with a file that numpy refuses; it says so in words alone."""
    if OBJECT_ARRAY in str(error):
        return "holds an array of Python objects, which runs code when it is read; expected arrays of numbers"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return "is damaged or no .npz file; expected one that numpy.savez wrote"


def _dataset(name: str, split_seed: int, pairs: list[tuple[Array, Array]]) -> Dataset:
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
    return Dataset(name, split_seed, classes, train, validation, test, _sha256(checked))


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
        raise DataError(f"dataset {name}: the classes are {y.dtype}; expected whole numbers from 0")
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


def _sha256(pairs: list[Samples]) -> str:
    digest = sha256()
    for samples in pairs:
        digest.update(str(list(samples.x.shape)).encode())
        digest.update(samples.x.numpy().tobytes())
        digest.update(samples.y.numpy().tobytes())
    return digest.hexdigest()
