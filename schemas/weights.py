"""The weight store: weights of many models stacked along a leading axis in safetensors shards.

Needs torch and safetensors only, so that worker processes and bare GPU machines can write and read shards.
No pickle is ever opened.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from schemas.errors import DataError, OutsideError, UsageError
from schemas.files import written_whole


class WeightStore:
    """Shards below one folder, each a safetensors file in which every tensor is `[N, ...]`: N models, one row each."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, shard: str) -> Path:
        """Where a shard lies; refuses names that would leave the folder."""
        name = PurePosixPath(shard)
        if name.is_absolute() or ".." in name.parts or name.suffix != ".safetensors":
            raise UsageError(f"{shard!r} is no shard name: expected a relative path that ends in .safetensors")
        return self.folder / name

    def write(self, shard: str, tensors: Mapping[str, Tensor]) -> str:
        """Write the stacked tensors as one shard, whole or not at all, and return its SHA-256 in hexadecimal.

        Raises:
            UsageError: the leading axes differ, or there is nothing to write.
            OutsideError: the disk is full or cannot be written.
        """
        members = {name: tensor.shape[0] if tensor.ndim else None for name, tensor in tensors.items()}
        if len(set(members.values())) != 1 or None in members.values():
            raise UsageError(f"the tensors of {shard} must share one leading axis, got {members}")
        return write_safetensors(self.path(shard), tensors)

    def read(self, shard: str, names: Sequence[str] | None = None, sha256: str | None = None) -> dict[str, Tensor]:
        """All members: each tensor `[N, ...]`, or only those in `names`; checked against `sha256` if it is given."""
        if sha256 is not None:
            self.verify(shard, sha256)
        return read_safetensors(self.path(shard), names)

    def read_members(
        self, shard: str, rows: Sequence[int] | Tensor, names: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """The members in `rows`, in that order: each tensor `[len(rows), ...]`. Reads only their bytes.

        One run of rows is mapped into memory and read when it is used; others are copied.
        """
        wanted = torch.as_tensor(rows, dtype=torch.int64)
        if not len(wanted):
            raise UsageError("no rows to read")
        chosen = slice(int(wanted[0]), int(wanted[-1]) + 1) if is_run(wanted) else wanted
        path = self.path(shard)
        with _opened(path) as file:
            read = {}
            for name in _names(file, names, path):
                stacked = file.get_tensor(name)
                _check_rows(wanted, stacked.shape, path)
                read[name] = as_bytes(stacked)[chosen].view(stacked.dtype)
            return read

    def read_member(self, shard: str, row: int, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """One member, without the leading axis."""
        return {name: tensor[0] for name, tensor in self.read_members(shard, [row], names).items()}

    def names(self, shard: str) -> list[str]:
        """Names of a shard's tensors; raises DataError if it is missing, or shorter or longer than its header says."""
        with _opened(self.path(shard)) as file:
            return _names(file, None, self.path(shard))

    def members(self, shard: str) -> int:
        """How many members a shard holds, by its header alone: the length of the leading axis of every tensor.

        Raises:
            DataError: It is missing, shorter or longer than its header says, or no stack of models.
        """
        path = self.path(shard)
        with _opened(path) as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - it is no mapping
        lengths = {shape[0] if shape else -1 for shape in shapes}
        if len(lengths) != 1 or -1 in lengths:
            raise DataError(f"{path} holds no stack of models: its tensors share no leading axis")
        return int(lengths.pop())

    def verify(self, shard: str, sha256: str) -> None:
        """Raise DataError unless the shard's content has this SHA-256 (hexadecimal)."""
        found = _sha256(self.path(shard))
        if found != sha256:
            raise DataError(f"{self.path(shard)} is damaged: its SHA-256 is {found}, expected {sha256}")


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> str:
    """Write a safetensors file beside its place, rename it into it, and return its SHA-256 in hexadecimal."""
    with written_whole(path) as beside:
        try:
            save_file(_plain(tensors), beside, metadata=metadata or {"format": "pt"})
        except SafetensorError as error:
            raise OutsideError(f"cannot write {path}: {error}") from error
        except (KeyError, RuntimeError, ValueError) as error:
            raise UsageError(f"cannot write {path}: safetensors cannot hold such a tensor: {error}") from error
        return _sha256(beside)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors in memory of their own, lazy conjugates and negatives worked out, tied ones apart."""
    if "__metadata__" in tensors:
        raise UsageError("a tensor cannot be called __metadata__: safetensors keeps its own notes under that name")
    plain: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        plain[name] = dense.clone() if dense.untyped_storage().data_ptr() in places else dense
        places.add(plain[name].untyped_storage().data_ptr())
    return plain


def read_safetensors(path: Path, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, or those in `names`.

    Raises:
        DataError: the file is missing, truncated or damaged.
        UsageError: it has no tensor of that name.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in _names(file, names, path)}


def read_metadata(path: Path) -> dict[str, str]:
    """Notes in the header of a safetensors file.

    Raises:
        DataError: the file is missing, truncated or damaged.
    """
    with _opened(path) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged or no safetensors file: {error}") from error


def _names(file: Any, names: Sequence[str] | None, path: Path) -> list[str]:
    present = set(file.keys())
    if names is None:
        return sorted(present)
    if missing := [name for name in names if name not in present]:
        raise UsageError(f"{path} has no tensor {missing[0]!r}; it has {', '.join(sorted(present)[:10])}")
    return list(names)


def is_run(numbers: Tensor) -> bool:
    """Whether these whole numbers `[n]` go up one by one.

    >>> is_run(torch.tensor([3, 4, 5])), is_run(torch.tensor([3, 5, 4]))
    (True, False)
    """
    return bool((numbers.diff() == 1).all())


def as_bytes(tensor: Tensor) -> Tensor:
    """Types of eight bits as plain bytes, since torch cannot index all of its small floats."""
    return tensor.view(torch.uint8) if tensor.dtype.itemsize == 1 else tensor


def _check_rows(rows: Tensor, shape: Sequence[int], path: Path) -> None:
    if not shape:
        raise UsageError(f"{path} holds one model, not a stack of several: it has a tensor without axes")
    outside = rows[(rows < 0) | (rows >= shape[0])]
    if len(outside):
        raise UsageError(f"{path} has rows 0 to {shape[0] - 1}, not {int(outside[0])}")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
