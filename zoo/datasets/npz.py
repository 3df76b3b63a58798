"""Reads .npz files that numpy wrote, without ever running what may be in them."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from schemas.errors import DataError, UsageError
from zoo.datasets.dataset import Pair

OBJECT_ARRAY = "Object arrays cannot be loaded"  # how numpy refuses one


def read_npz(path: Path) -> list[Pair]:
    """The file's samples and classes: one pair that is still to be split, or train and test.

    Raises:
        UsageError: There is no such file.
        DataError: It is damaged, holds Python objects, or lacks `x_train` and `y_train`, or `x` and `y`.
    """
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
