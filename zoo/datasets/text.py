"""Texts as sequences of bytes: the tokens are the 256 values of a byte."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.errors import DataError, UsageError
from zoo.datasets.dataset import TEST_SHARE, VALIDATION_SHARE, Array, Dataset, sha256_of
from zoo.population import Samples

PLACES = 128
"""Tokens of one sample."""
BYTES = 256


def read_text(path: Path) -> NDArray[np.uint8]:
    """A file's bytes; raises UsageError if there is no such file."""
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UsageError(
            f"dataset {path} cannot be read: {error.strerror}; text:PATH counts from the current folder"
        ) from error


def from_tokens(name: str, split_seed: int, tokens: Array, places: int = PLACES, classes: int = BYTES) -> Dataset:
    """Cut a text into samples of `places` tokens, each with the token that comes next at every place.

    The first 70 % are for training, then 15 % for validation and 15 % for test, so that no part has
    what stands beside a sample of another one. `split_seed` changes nothing.

    Raises:
        DataError: The text is too short for a sample in each part.
    """
    samples = (len(tokens) - 1) // places
    validation, test = round(VALIDATION_SHARE * samples), round(TEST_SHARE * samples)
    if not min(samples - validation - test, validation, test) > 0:
        raise DataError(f"dataset {name} has {len(tokens)} tokens; expected at least {7 * places}")
    stream = torch.from_numpy(tokens.astype(np.int64))
    x, y = stream[:-1][: samples * places].view(-1, places), stream[1:][: samples * places].view(-1, places)
    sizes = [samples - validation - test, validation, test]
    cut = zip(torch.split(x, sizes), torch.split(y, sizes), strict=True)
    train, held_out, unseen = (Samples(tokens, following) for tokens, following in cut)
    return Dataset(name, split_seed, classes, train, held_out, unseen, sha256_of([Samples(x, y)]))
