"""Loads a dataset by its name."""

import re
from pathlib import Path

from schemas.errors import UsageError
from zoo.datasets.cache import cached, version_of
from zoo.datasets.dataset import Dataset, Pair, from_arrays
from zoo.datasets.digits import read_digits
from zoo.datasets.hub import HUB, hub_pairs
from zoo.datasets.made import POINTS, SAMPLES, make_convection, make_patterns, make_sequence
from zoo.datasets.npz import read_npz
from zoo.datasets.pictures import read_folder, read_parquet
from zoo.datasets.text import from_tokens, read_text
from zoo.mistakes import expected_one_of

PATHS = ("folder", "npz", "parquet", "text")
PATTERNS = re.compile(r"patterns:([1-9]\d?)x([1-9]\d{0,2})x([1-9]\d{0,2}):([1-9]\d{0,3})")
SEQUENCES = re.compile(r"sequences:([1-9]\d{0,3}):([1-9]\d{0,2})")
FORMS = ["digits", *(f"{kind}:PATH" for kind in PATHS), "convection", *HUB]


def check_name(name: str) -> str:
    """Give the name back if a dataset can be called so; raise ValueError with the choices if not."""
    kind, _, path = name.partition(":")
    made = PATTERNS.fullmatch(name) or SEQUENCES.fullmatch(name)
    if not (name in ("digits", "convection") or name in HUB or (kind in PATHS and path) or made):
        raise ValueError(f"{expected_one_of(name, FORMS)}")
    return name


def load_dataset(name: str, split_seed: int = 0) -> Dataset:
    """Load a dataset and split it, each class by the same shares.

    `digits` are scikit-learn's 1,797 grey images of 8 x 8. `npz:PATH` is a file that numpy wrote, with
    arrays `x_train, y_train` and if it has them `x_test, y_test`, or `x, y`. `parquet:PATH` has the
    layout of the Hub's image datasets, `folder:PATH` a folder of images for each class, `text:PATH` is
    any file, whose bytes are the tokens. Names such as `uoft-cs/cifar10` are datasets of the Hub.
    `convection` is the points of an equation. `patterns:3x8x8:4` (shape and classes) and
    `sequences:16:32` (places and tokens) are made, for trying a recipe out. PATH counts from the
    current folder; `~` is the home folder. What has to be decoded is decoded once and kept, see `zoo.datasets.cache`.

    15 % are for validation and 15 % for test; what its source calls the test stays the test.

    Args:
        name: The dataset.
        split_seed: Which samples are for what hangs on it, and on nothing else.

    Raises:
        UsageError: There is no such dataset or file, or it is not on this machine.
        DataError: The file holds something else than it should.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(f"dataset {name!r} is unknown: {error}") from error
    if name == "convection":
        return make_convection(name, split_seed)
    if made := SEQUENCES.fullmatch(name):
        places, classes = map(int, made.groups())
        return from_tokens(name, split_seed, make_sequence(places, classes), places, classes)
    if name.startswith("text:"):
        return from_tokens(name, split_seed, read_text(_path(name)))
    if name in HUB and HUB[name].test is None:
        return from_tokens(name, split_seed, hub_pairs(name)[0][0])
    return from_arrays(name, split_seed, _pairs(name))


def _pairs(name: str) -> list[Pair]:
    """Samples and classes of a dataset of images: one pair that is still to be split, or train and test."""
    if name == "digits":
        return [read_digits()]
    if name in HUB:
        return hub_pairs(name)
    if made := PATTERNS.fullmatch(name):
        channels, height, width, classes = map(int, made.groups())
        return [make_patterns((channels, height, width), classes)]
    kind, path = name.partition(":")[0], _path(name)
    if kind == "npz":
        return read_npz(path)
    read = {"parquet": read_parquet, "folder": read_folder}[kind]
    return cached(name, version_of(path), lambda: read(path)) if path.exists() else read(path)


def _path(name: str) -> Path:
    """What follows the kind; a ~ that it begins with is the home folder."""
    place = Path(name.partition(":")[2])
    try:
        return place.expanduser()
    except RuntimeError:  # of nobody who is known here
        return place


def kind_of(name: str) -> str:
    """What the samples of a dataset are: images, tokens or points."""
    if name == "convection":
        return "points"
    text = name.startswith(("text:", "sequences:")) or (name in HUB and HUB[name].test is None)
    return "tokens" if text else "images"


def facts(name: str) -> tuple[tuple[int, ...], int, int] | None:
    """Shape of a sample, classes and number of training samples, where they are known without reading anything.

    The number is exact up to the rounding of each class.
    """
    if name in HUB:
        share = 0.7 if HUB[name].test is None else 0.85
        return HUB[name].shape, HUB[name].classes, round(share * HUB[name].samples)
    if name == "digits":
        return (1, 8, 8), 10, 1259
    if name == "convection":
        return (4,), 1, POINTS["train"]
    if made := PATTERNS.fullmatch(name):
        channels, height, width, classes = map(int, made.groups())
        return (channels, height, width), classes, round(0.7 * max(SAMPLES, 8 * classes))
    if made := SEQUENCES.fullmatch(name):
        places, classes = map(int, made.groups())
        return (places,), classes, round(0.7 * SAMPLES)
    return None
