"""Where each tensor of a model lies on disk: read from safetensors headers, without reading a weight."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch

from schemas import DataError, Lake
from zoo.locate import InShard, Place

LONGEST_HEADER = 100_000_000  # what the format itself allows
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types that tensors of a model can have here, by the names that safetensors has for them."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its bytes from `begin` to `end`, counted from the start of the file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def torch_dtype(self) -> torch.dtype:
        """Its type in torch; raises DataError for one that torch cannot compute with."""
        if self.dtype not in DTYPES:
            raise DataError(
                f"{self.path} has a tensor of type {self.dtype}, which cannot be merged; dequantise it first"
            )
        return DTYPES[self.dtype]

    @property
    def values(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return self.end - self.begin


def stored_tensors(lake: Lake, place: Place) -> dict[str, Stored]:
    """Find the tensors of a model that `zoo.locate.locate` has found.

    Raises:
        DataError: A file is missing or damaged, or two files have a tensor of the same name.
    """
    if isinstance(place, InShard):
        stacked = read_header(lake.weights.path(place.shard))
        return {name: _row(tensor, place.row) for name, tensor in stacked.items()}
    found: dict[str, Stored] = {}
    for path in place.paths:
        tensors = read_header(path)
        if twice := found.keys() & tensors.keys():
            raise DataError(f"{path.parent} has tensor {min(twice)} in several files, so its weights are ambiguous")
        found |= tensors
    return found


def _row(stacked: Stored, row: int) -> Stored:
    """One model of a stacked shard: a slice along the first axis."""
    models = stacked.shape[0] if stacked.shape else 0
    if row >= models:
        raise DataError(f"{stacked.path} holds {models} models, and the lake expects one in row {row}")
    size = stacked.bytes // models
    begin = stacked.begin + row * size
    return replace(stacked, shape=stacked.shape[1:], begin=begin, end=begin + size)


def read_header(path: Path) -> dict[str, Stored]:
    """Read a safetensors header: where each tensor lies, in the order of their bytes.

    Raises:
        DataError: The file is missing, truncated or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(LONGEST_HEADER, size - 8):
                raise DataError(f"{path} is no safetensors file: a header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no safetensors file: its header is no JSON: {error}") from error
    if not isinstance(header, Mapping):
        raise DataError(f"{path} is no safetensors file: its header is no list of tensors")
    tensors = {name: _stored(path, name, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"}
    for name, tensor in tensors.items():
        if tensor.end > size:
            raise DataError(f"{path} is truncated: {name} ends at byte {tensor.end} of {size}")
    return dict(sorted(tensors.items(), key=lambda item: item[1].begin))


def _stored(path: Path, name: str, entry: Any, start: int) -> Stored:
    try:
        begin, end = (int(offset) for offset in entry["data_offsets"])
        shape = tuple(int(axis) for axis in entry["shape"])
        stored = Stored(path, str(entry["dtype"]), shape, start + begin, start + end)
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged: the header says {entry!r:.100} of {name}") from error
    dtype = DTYPES.get(stored.dtype)
    wrong = dtype is not None and stored.bytes != stored.values * dtype.itemsize
    if begin < 0 or end < begin or min(shape, default=0) < 0 or wrong:
        raise DataError(f"{path} is damaged: {name} of shape {list(shape)} has bytes {begin} to {end}")
    return stored
