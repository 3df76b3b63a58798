"""Which columns of a matrix are which tensor, and the names and the order of axes that Keras has for them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from schemas import DataError
from zoo.exchange.fields import whole_number
from zoo.exchange.foreign import checked_shapes
from zoo.exchange.table import read_table

LAYOUT = "layout.csv"
SHAPE = re.compile(r"\(?\s*(\d{1,9}(?:\s*,\s*\d{1,9})*)\s*,?\s*\)?")
KERNEL = "kernel:0"


@dataclass(frozen=True)
class Columns:
    """The columns of the matrix that are one tensor."""

    name: str
    start: int
    end: int
    shape: tuple[int, ...]


def read_layout(root: Path, width: int) -> list[Columns]:
    """Read which columns of a matrix of this width are which tensor; they have to cover it, each column once.

    Raises:
        DataError: They do not, or the file is damaged.
    """
    path = root / LAYOUT
    frame = read_table(root, path, most=2**24)
    if missing := [name for name in ("varname", "start_idx", "end_idx", "shape") if name not in frame.columns]:
        raise DataError(f"{path} has no column {missing[0]}; it has {', '.join(frame.columns)}")
    layout = [_columns(path, row) for row in frame.iter_rows(named=True)]
    layout.sort(key=lambda part: part.start)
    checked_shapes({part.name: None for part in layout})
    ends = [0, *(part.end for part in layout)]
    if [part.start for part in layout] != ends[:-1] or ends[-1] != width:
        raise DataError(
            f"{path} does not cover the {width:,} columns of the matrix once each: its parts end at {ends[1:]}"
        )
    if len({part.name for part in layout}) < len(layout):
        raise DataError(f"{path} has two tensors of one name")
    return layout


def _columns(path: Path, row: dict[str, Any]) -> Columns:
    match = SHAPE.fullmatch(str(row["shape"]))
    start, end = whole_number(row["start_idx"]), whole_number(row["end_idx"])
    if match is None or start is None or end is None or not isinstance(row["varname"], str):
        raise DataError(f"{path} has a row {row}; expected a name, two whole numbers and a shape such as (3, 3, 1, 16)")
    shape = tuple(int(part) for part in match[1].split(","))
    if int(np.prod(shape, dtype=object)) != end - start:
        raise DataError(f"{path} gives {row['varname']} the shape {shape}, and {end - start} columns")
    return Columns(row["varname"], start, end, shape)


def as_torch(name: str, tensor: Tensor) -> Tensor:
    """Turn a stacked kernel from Keras' order of axes into torch's; other tensors stay."""
    if name.endswith(KERNEL) and tensor.ndim == 5:
        return tensor.permute(0, 4, 3, 1, 2)
    return tensor.transpose(1, 2) if name.endswith(KERNEL) and tensor.ndim == 3 else tensor


def keras_name(name: str, shape: tuple[int, ...]) -> str:
    """What Keras calls such a tensor.

    >>> keras_name("conv1.weight", (8, 1, 5, 5)), keras_name("conv1.bias", (8,)), keras_name("bn1.weight", (8,))
    ('conv1/kernel:0', 'conv1/bias:0', 'bn1/gamma:0')
    """
    layer, _, kind = name.rpartition(".")
    if kind == "weight":
        return f"{layer}/{KERNEL}" if len(shape) in (2, 4) else f"{layer}/gamma:0"
    return f"{layer}/{kind}:0"


def as_keras(name: str, tensor: Tensor) -> Tensor:
    """The inverse of `as_torch`."""
    if name.endswith(KERNEL) and tensor.ndim == 5:
        return tensor.permute(0, 3, 4, 2, 1)
    return tensor.transpose(1, 2) if name.endswith(KERNEL) and tensor.ndim == 3 else tensor
