"""Datasets of the Hugging Face Hub, fetched through `datasets` and kept as tensors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import OutsideError, UsageError
from zoo.datasets.cache import cache_file, cached
from zoo.datasets.dataset import Pair
from zoo.datasets.pictures import alike, read_table
from zoo.mistakes import expected_one_of

TEXT_BYTES = 32 * 2**20
"""How much of a text is taken, from its beginning."""


@dataclass(frozen=True)
class HubDataset:
    """What is known of a dataset before it is here."""

    shape: tuple[int, ...]
    classes: int
    samples: int
    """Of the training split."""
    test: str | None = "test"
    """Name of the split that is the test."""
    configuration: str | None = None


HUB = {
    "Skylion007/openwebtext": HubDataset((128,), 256, TEXT_BYTES // 128, None, "plain_text"),
    "ufldl-stanford/svhn": HubDataset((3, 32, 32), 10, 73_257, configuration="cropped_digits"),
    "uoft-cs/cifar10": HubDataset((3, 32, 32), 10, 50_000),
    "uoft-cs/cifar100": HubDataset((3, 32, 32), 100, 50_000),
    "ylecun/mnist": HubDataset((1, 28, 28), 10, 60_000),
    "zalando-datasets/fashion_mnist": HubDataset((1, 28, 28), 10, 60_000),
    "zh-plus/tiny-imagenet": HubDataset((3, 64, 64), 200, 100_000, "valid"),
}
"""Datasets of the Hub that recipes may name."""


def hub_pairs(name: str) -> list[Pair]:
    """Give the arrays of a dataset of the Hub: from the cache, or fetched now.

    Raises:
        UsageError: It is not here and cannot be fetched; says which command fetches it, and what else can be done.
        DataError: It is not what it was when this was written.
    """
    return cached(name, _version(name), lambda: _download(name))


def fetch_dataset(name: str) -> Path:
    """Fetch a dataset of the Hub, decode it and keep it; gives the file, which may be copied to another machine.

    Raises:
        UsageError: No recipe may name it.
        OutsideError: The Hub cannot be reached, or the file cannot be written.
    """
    if name not in HUB:
        raise UsageError(f"dataset {name!r} is none that is fetched: {expected_one_of(name, HUB)}")
    try:
        hub_pairs(name)
    except UsageError as error:
        raise OutsideError(f"dataset {name} could not be fetched: {error.__cause__ or error}") from error
    file = cache_file(name, _version(name))
    if not file.exists():
        raise OutsideError(
            f"dataset {name} was fetched, but {file} cannot be written; set WEIGHTLAKE_CACHE to a folder"
        )
    return file


def _version(name: str) -> str:
    return repr(HUB[name])


def _download(name: str) -> list[Pair]:
    try:
        datasets: Any = import_module("datasets")
    except ImportError as error:
        raise UsageError(_absent(name, "needs: pip install 'weightlake[datasets]'")) from error
    try:
        with _retrying_silently():
            if HUB[name].test is None:
                return [_text(datasets.load_dataset(name, HUB[name].configuration, split="train", streaming=True))]
            parts = datasets.load_dataset(name, HUB[name].configuration)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UsageError(_absent(name, "cannot be fetched from here")) from error
    splits = [split for split in ("train", HUB[name].test) if split]
    return alike([read_table(name, parts[split].data.table) for split in splits])


@contextmanager
def _retrying_silently() -> Iterator[None]:
    """Keep huggingface_hub from telling of each try: what comes of them is said once, at the end."""
    told = logging.getLogger("huggingface_hub")
    before = told.level
    told.setLevel(logging.ERROR)
    try:
        yield
    finally:
        told.setLevel(before)


def _text(rows: Any) -> Pair:
    """The first bytes of a text dataset's rows, with two line ends between them; classes are not used."""
    content = bytearray()
    for row in rows:
        content += row["text"].encode() + b"\n\n"
        if len(content) >= TEXT_BYTES:
            break
    return np.frombuffer(bytes(content[:TEXT_BYTES]), dtype=np.uint8), np.zeros(1, dtype=np.int64)


def _absent(name: str, why: str) -> str:
    kind = "text:PATH" if HUB[name].test is None else "npz:PATH, parquet:PATH or folder:PATH"
    return (
        f"dataset {name} is not on this machine and {why}; fetch it where there is internet with: "
        f"weightlake zoo fetch {name} (and copy it to {cache_file(name, _version(name))}), "
        f"or build from files instead with: --dataset {kind}"
    )
