"""Cuts a population into tokens of one size with their positions: what transformers over weights read.

As Schürholt, Mahoney and Borth (2024), "Towards Scalable and Versatile Weight Space Learning": a layer
is a matrix with a row an output, its weights followed by its bias; each row is filled up with zeros to
a multiple of the size and cut into tokens. A position is three numbers: the token's place in the whole
sequence, its layer, and its place in the layer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from schemas.errors import UsageError
from zoo.population import Weights

FIRST = ("weight", "bias")


@dataclass(frozen=True)
class Tokens:
    """N models as sequences of T tokens."""

    values: Tensor
    """`[N, T, size]`, zero where nothing of the model stands."""
    mask: Tensor
    """`[T, size]`, bool: where something of the model stands."""
    positions: Tensor
    """`[T, 3]`, int64: place in the sequence, layer, place in the layer, each from 0."""
    layers: tuple[tuple[tuple[str, torch.Size], ...], ...]
    """Names and shapes (of one model) of the tensors of each layer."""

    def tensors(self, values: Tensor | None = None) -> Weights:
        """Put tokens, these or others of the same layout, together to stacked tensors again."""
        source = self.values if values is None else values
        if source.shape[1:] != self.values.shape[1:]:
            raise UsageError(
                f"tokens of shape {list(source.shape)}: expected [N, {', '.join(map(str, self.values.shape[1:]))}]"
            )
        found: Weights = {}
        for number, layer in enumerate(self.layers):
            rows = layer[0][1][0] if layer[0][1] else 1
            columns = [shape.numel() // rows for _, shape in layer]
            part = source[:, self.positions[:, 1] == number].reshape(len(source), rows, -1)[..., : sum(columns)]
            for (name, shape), piece in zip(layer, torch.split(part, columns, dim=2), strict=True):
                found[name] = piece.reshape(len(source), *shape)
        return found


def tokens(tensors: Mapping[str, Tensor], size: int) -> Tokens:
    """Cut stacked tensors `[N, ...]` into tokens of `size` values; counters (whole numbers) are left out.

    Raises:
        UsageError: The size is below 1, or there is nothing to cut.
    """
    if size < 1:
        raise UsageError(f"size = {size}: expected at least 1")
    layers = _layers(tensors)
    if not layers:
        raise UsageError("these models have no tensor of floating point numbers to cut into tokens")
    values, masks, positions = [], [], []
    for number, names in enumerate(layers):
        matrix = torch.cat([_rows(tensors[name]) for name in names], dim=2)
        members, rows, columns = matrix.shape
        missing = -columns % size
        cut = pad(matrix, (0, missing)).reshape(members, -1, size)
        values.append(cut)
        masks.append(pad(torch.ones(rows, columns, dtype=torch.bool), (0, missing)).reshape(-1, size))
        within = torch.arange(cut.shape[1])
        positions.append(torch.stack([torch.full_like(within, number), within], dim=1))
    placed = torch.cat(positions)
    shapes = tuple(tuple((name, tensors[name].shape[1:]) for name in names) for names in layers)
    places = torch.cat([torch.arange(len(placed)).unsqueeze(1), placed], dim=1)
    return Tokens(torch.cat(values, dim=1), torch.cat(masks), places, shapes)


def _layers(tensors: Mapping[str, Tensor]) -> list[list[str]]:
    """Names that belong to one layer: the same prefix and as many rows; layers by name, numbers by their value."""
    layers: dict[tuple[str, int], list[str]] = {}
    for name in sorted(tensors, key=_natural):
        if tensors[name].is_floating_point():
            rows = tensors[name].shape[1] if tensors[name].ndim > 1 else 1
            layers.setdefault((name.rpartition(".")[0], rows), []).append(name)
    return [sorted(names, key=_weight_first) for names in layers.values()]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _weight_first(name: str) -> tuple[int, str]:
    last = name.rpartition(".")[2]
    return (FIRST.index(last) if last in FIRST else len(FIRST), name)


def _rows(tensor: Tensor) -> Tensor:
    """A layer's tensor as `[N, outputs, ...]`."""
    return tensor.flatten(2) if tensor.ndim > 2 else tensor.reshape(len(tensor), -1, 1)
