"""Tensors of files as views of memory maps, which are there as long as somebody holds them."""

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learners.soups.files.stored import Stored
from schemas import DataError, OutsideError

READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
POPULATE_READ = 22
"""Linux' MADV_POPULATE_READ: map all pages at once instead of one fault after the other."""


def mapped(stored: Stored, begin: int = 0, end: int | None = None) -> Tensor:
    """Map a tensor, or the values `begin` to `end` of it as a vector; it is copied on write, never written back.

    Raises:
        DataError: The file is gone, or shorter than its header said.
        OutsideError: There is too little memory.
    """
    whole = end is None
    last = stored.values if end is None else end
    dtype = stored.torch_dtype
    if last <= begin:
        return torch.empty(stored.shape if whole else (0,), dtype=dtype)
    first = stored.begin + begin * dtype.itemsize
    offset = first - first % mmap.ALLOCATIONGRANULARITY
    length = stored.begin + last * dtype.itemsize - offset
    try:
        file = os.open(stored.path, READ)  # a file object costs as much as the map
        try:
            view = mmap.mmap(file, length, access=mmap.ACCESS_COPY, offset=offset)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise OutsideError(f"there is too little memory to map {length:,} bytes of {stored.path}") from error
        raise DataError(f"{stored.path} cannot be mapped, it was changed or removed: {error}") from error
    with suppress(OSError, AttributeError):  # older kernels and other systems map page by page
        view.madvise(POPULATE_READ)
    values = torch.frombuffer(view, dtype=dtype, count=last - begin, offset=first - offset)
    return values.view(stored.shape) if whole else values


def spans(values: int, piece: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each piece of so many values."""
    return ((begin, min(begin + piece, values)) for begin in range(0, values, piece))


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is infinite or NaN; integers never are.

    No sum with such a value is finite, so that one pass shows that there is none; only where the sum is not finite,
    which that of large values need not be either, are the values looked at one by one.
    """
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    values = tensor if tensor.dtype.itemsize > 1 else tensor.float()
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


@dataclass(frozen=True)
class Mapped(Sequence[Tensor]):
    """The same tensor of several models; each is mapped when it is asked for."""

    tensors: tuple[Stored, ...]

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: Any) -> Any:
        """Map one."""
        return mapped(self.tensors[index])

    def __iter__(self) -> Iterator[Tensor]:
        return (mapped(tensor) for tensor in self.tensors)
