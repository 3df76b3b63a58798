"""Reads scikit-learn's digits: 1,797 grey images of 8 x 8."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from zoo.datasets.dataset import Pair


def read_digits() -> Pair:
    """Read scikit-learn's file; importing the library for it would cost every worker process two seconds."""
    library = find_spec("sklearn")
    assert library is not None and library.origin is not None  # noqa: S101, PT018 - it is one of our dependencies
    table = np.loadtxt(Path(library.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return (table[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32), table[:, -1].astype(np.int64)
