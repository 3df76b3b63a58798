"""Writes a population as one matrix, a row a model, and says which columns are which tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from schemas.errors import UsageError
from zoo.population import Weights


@dataclass(frozen=True)
class Columns:
    """Where a tensor lies in the matrix: columns `begin` to `end` (excluded), in the order of its values."""

    name: str
    shape: torch.Size
    """Of one model's tensor."""
    dtype: torch.dtype
    begin: int
    end: int


@dataclass(frozen=True)
class Flat:
    """A population as a matrix `[N, P]` with its layout: the tensors in the order of their columns."""

    matrix: Tensor
    layout: tuple[Columns, ...]

    def tensors(self, matrix: Tensor | None = None) -> Weights:
        """Turn the matrix, or another one of the same columns, back into stacked tensors (views where types agree)."""
        source = self.matrix if matrix is None else matrix
        if source.ndim != 2 or source.shape[1] != self.matrix.shape[1]:
            raise UsageError(f"a matrix of shape {list(source.shape)}: expected [N, {self.matrix.shape[1]}]")
        return {
            place.name: source[:, place.begin : place.end].reshape(len(source), *place.shape).to(place.dtype)
            for place in self.layout
        }


def flat(tensors: Mapping[str, Tensor]) -> Flat:
    """Write stacked tensors `[N, ...]` as one matrix: tensors in the order of the mapping, each row after row.

    The weight store gives names in alphabetical order, which is not that of `parameters_to_vector`:
    `conv1.bias` comes before `conv1.weight`. `Population.flat("parameters")` gives that one.

    Counters (int64) are written as floating point numbers too, where others are.
    """
    matrix = torch.cat(
        [tensor.flatten(1) if tensor.ndim > 1 else tensor[:, None] for tensor in tensors.values()], dim=1
    )
    ends = list(accumulate(tensor[0].numel() for tensor in tensors.values()))
    layout = tuple(
        Columns(name, tensor.shape[1:], tensor.dtype, end - tensor[0].numel(), end)
        for (name, tensor), end in zip(tensors.items(), ends, strict=True)
    )
    return Flat(matrix, layout)
