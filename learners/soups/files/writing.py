"""Writes tensors as safetensors files, piece after piece as they come, sharded as the Hub's own tools do."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from torch import Tensor

from learners.soups.files.stored import DTYPES, Stored
from schemas import OutsideError

PATTERN = "model{suffix}.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Planned:
    """A tensor that is to be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return prod(self.shape) * self.dtype.itemsize


Produce = Callable[[str], Iterable[Tensor]]
"""Gives the values of the tensor of a name, in pieces that follow each other."""


def write_shards(
    folder: Path, tensors: Mapping[str, Planned], produce: Produce, shard_bytes: int = SHARD_BYTES
) -> dict[str, Stored]:
    """Write files `model.safetensors`, or several and their index, and give where each tensor lies.

    Tensors are asked for one after the other in their order, and each piece is written as it comes.

    Args:
        folder: An existing folder.
        tensors: What is to be written.
        produce: Gives a tensor's values.
        shard_bytes: Largest size of a file's tensors; one that is larger has a file of its own.

    Raises:
        OutsideError: The disk is full, or cannot be written.
    """
    split = split_state_dict_into_shards_factory(
        dict(tensors),
        get_storage_size=lambda tensor: tensor.bytes,
        filename_pattern=PATTERN,
        max_shard_size=shard_bytes,
    )
    written: dict[str, Stored] = {}
    try:
        for file, names in split.filename_to_tensors.items():
            written |= _write(folder / file, {name: tensors[name] for name in names}, produce)
        if split.is_sharded:
            index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
            (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutsideError(f"cannot write {folder}: {error.strerror or error}") from error
    return written


def _write(path: Path, tensors: Mapping[str, Planned], produce: Produce) -> dict[str, Stored]:
    """Write one file: the header first, since all sizes are known, and then the bytes in its order."""
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize))  # so that all are aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, tensor in ordered.items():
        place = [offset, offset + tensor.bytes]
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
        offset += tensor.bytes
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        for name, tensor in ordered.items():
            for piece in produce(name):
                assert piece.dtype == tensor.dtype, f"{name} was planned as {tensor.dtype}"  # noqa: S101 - the plan is ours
                file.write(_bytes(piece))
        if file.tell() != 8 + len(content) + offset:
            raise OutsideError(f"cannot write {path}: {file.tell()} bytes instead of {8 + len(content) + offset}")
        file.flush()
        os.fsync(file.fileno())
    start = 8 + len(content)
    return {
        name: Stored(path, entry["dtype"], tuple(entry["shape"]), *(start + at for at in entry["data_offsets"]))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor of any type, without a copy where they lie side by side."""
    flat = tensor.detach().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type] # numpy's arrays are buffers before 3.12 too
