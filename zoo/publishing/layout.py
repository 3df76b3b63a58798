"""How the tensors of one model lie in a published shard: together, and each where its type may be read from.

Tensors of eight bytes an element come first in a file, then those of four, two and one, so that each begins at a
multiple of its element's size although safetensors allows no holes. A model whose tensors are all of one type is one
range of bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from safetensors import safe_open
from torch import Tensor

from schemas import Lake, UsageError

ALIGNMENTS = (8, 4, 2, 1)
PLAIN = (
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "I64",
    "I32",
    "I16",
    "I8",
    "U64",
    "U32",
    "U16",
    "U8",
    "BOOL",
)
"""Types of safetensors whose elements have whole bytes, a row of a stack after the other."""


@dataclass(frozen=True)
class Part:
    """One tensor of a model, without its values."""

    name: str
    dtype: str
    """As safetensors names it."""
    shape: tuple[int, ...]
    bytes: int
    alignment: int
    """Bytes of an element, the largest of ALIGNMENTS that divides them."""


@dataclass(frozen=True)
class Layout:
    """The tensors of models of the same shapes, in the order in which they lie."""

    parts: tuple[Part, ...]

    @cached_property
    def bytes(self) -> dict[int, int]:
        """By alignment, how many bytes of a model lie together."""
        return {each: sum(part.bytes for part in self.of(each)) for each in ALIGNMENTS}

    @cached_property
    def size(self) -> int:
        """Bytes of a model."""
        return sum(self.bytes.values())

    def of(self, alignment: int) -> tuple[Part, ...]:
        """The parts of an alignment, in their order."""
        return tuple(part for part in self.parts if part.alignment == alignment)

    def pack(self, alignment: int, tensors: Mapping[str, Tensor]) -> Tensor:
        """Bytes `[N, bytes]` of N stacked models, as they lie in the file."""
        rows = [_bytes(tensors[part.name]) for part in self.of(alignment)]
        return torch.cat(rows, dim=1)


def layout_of(lake: Lake, shard: str) -> Layout:
    """Read from a shard's header how one of its models is made up."""
    lake.weights.names(shard)  # says what is wrong with a damaged one
    with safe_open(lake.weights.path(shard), framework="pt") as file:
        slices = {name: file.get_slice(name) for name in sorted(file.keys())}
        packed = [name for name, each in slices.items() if each.get_dtype() not in PLAIN]
        if packed:
            raise UsageError(f"tensor {packed[0]} of {shard} has packed values; such weights cannot be published")
        return Layout(tuple(_part(name, each.get_dtype(), each[:1]) for name, each in slices.items()))


def _part(name: str, dtype: str, first: Tensor) -> Part:
    size = first.element_size()
    alignment = next(each for each in ALIGNMENTS if size % each == 0)
    return Part(name, dtype, tuple(first.shape[1:]), prod(first.shape[1:]) * size, alignment)


def _bytes(stacked: Tensor) -> Tensor:
    """A stack `[N, ...]` as bytes `[N, bytes of one]`."""
    plain = stacked.contiguous()
    if plain.numel() == 0:
        return torch.empty(len(plain), 0, dtype=torch.uint8)
    return plain.reshape(len(plain), -1).view(torch.uint8)


def alignments_of(layouts: Sequence[Layout]) -> list[int]:
    """The alignments that occur, in the order in which they lie in a file."""
    return [each for each in ALIGNMENTS if any(layout.bytes[each] for layout in layouts)]
