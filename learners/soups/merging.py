"""Merges models tensor by tensor, by any method, wherever their tensors lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from learners.soups.methods import Method, method_named
from schemas.errors import UsageError
from zoo.randomness import generator

Tensors = TypeVar("Tensors")


@dataclass(frozen=True)
class Merge:
    """A method with its settings, ready to merge tensors.

    Attributes:
        method: The method.
        settings: All of them.
        seed: What is random hangs on it and on the tensor's name, so that tied tensors get the same.
        dtype: Type that is computed in; tensors of float64 are computed in float64 all the same.
    """

    method: Method
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    dtype: torch.dtype = torch.float32


def prepare(
    method: str, ingredients: int, *, seed: int = 0, dtype: torch.dtype = torch.float32, **settings: Any
) -> Merge:
    """Check a method and its settings for so many ingredients; raise UsageError as `Method.checked`."""
    if dtype not in (torch.float32, torch.float64):
        raise UsageError(f"dtype = {dtype}: merges are computed in float32 or float64")
    found = method_named(method)
    return Merge(found, found.checked(settings, ingredients), seed, dtype)


class Cast(Sequence[Tensor]):
    """Tensors in another type; each is converted when it is asked for, so that one is in memory at a time."""

    def __init__(self, tensors: Sequence[Tensor], dtype: torch.dtype) -> None:
        self.tensors, self.dtype = tensors, dtype

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: Any) -> Any:
        """The tensor at a place, converted; of a complex one its real and imaginary parts."""
        tensor = self.tensors[index]
        real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        return real.to(self.dtype)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))


def merge_tensor(
    merge: Merge,
    name: str,
    tensors: Sequence[Tensor],
    parent: Tensor | None = None,
    fishers: Sequence[Tensor] | None = None,
    grams: Sequence[Tensor] | None = None,
    stored: torch.dtype | None = None,
) -> Tensor:
    """Merge the tensors of one name; gives one of type `stored`, or the parent's, or the first one's.

    Integers and booleans (counters, index tables) are never averaged: they are the parent's, or the first one's.

    Args:
        merge: How.
        name: The tensor's name, on which random numbers hang.
        tensors: One a model, of one shape; each is asked for when it is needed.
        parent: The common parent's, for methods that need one.
        fishers: Fisher information, for methods that need it; empty for a tensor that is not trained. Complex
            values have one number for both parts, or a complex one or a last axis of 2 for a number for each.
        grams: Gram matrices of the inputs, where the tensor has inputs.
        stored: Type of the result where it is floating point: it is rounded once, from the type of computation.
    """
    # its type alone is kept: the first tensor is not held while others are read
    kind = (tensors[0] if parent is None else parent).dtype
    if not (kind.is_floating_point or kind.is_complex):
        return (tensors[0] if parent is None else parent).clone()
    dtype = torch.float64 if kind in (torch.float64, torch.complex128) else merge.dtype
    needed: dict[str, Any] = {}
    if "parent" in merge.method.needs:
        if parent is None:
            raise UsageError(f"{merge.method.name} needs a parent: the model that the ingredients were fine-tuned from")
        needed["parent"] = Cast([parent], dtype)[0]
    if "fishers" in merge.method.needs:
        if fishers is None:
            raise UsageError(f"{merge.method.name} needs Fisher information of each model; take linear without data")
        needed["fishers"] = [_of_parts(each, tensors[0].ndim) for each in fishers] if kind.is_complex else fishers
    if "grams" in merge.method.needs:
        needed["grams"] = grams
    if merge.method.seeded:
        needed["generator"] = generator(f"merge {name}", merge.seed)
    merged = merge.method(Cast(tensors, dtype), **needed, **merge.settings)
    if kind.is_complex:
        return torch.view_as_complex(merged.contiguous()).to(kind)
    return merged.to(stored or kind)


def _of_parts(fisher: Tensor, axes: int) -> Tensor:
    """Fisher information of real and imaginary parts of complex values, on a last axis of 2, or of 1 for both."""
    if fisher.is_complex():
        return torch.view_as_real(fisher)
    return fisher.unsqueeze(-1) if fisher.ndim == axes else fisher


def merge_weights(
    merge: Merge,
    models: Sequence[Mapping[str, Tensor]],
    parent: Mapping[str, Tensor] | None = None,
    fishers: Sequence[Mapping[str, Tensor]] | None = None,
    grams: Sequence[Mapping[str, Tensor]] | None = None,
) -> dict[str, Tensor]:
    """Merge models that are in memory: tensors by name, of the same names and shapes.

    Tensors that are the same object in every model stay the same object.
    """
    merged: dict[str, Tensor] = {}
    tied: dict[tuple[int, ...], str] = {}
    for name in models[0]:
        tensors = [model[name] for model in models]
        places = tuple(tensor.data_ptr() if tensor.numel() else -1 for tensor in tensors)
        if -1 not in places and places in tied and merged[tied[places]].shape == tensors[0].shape:
            merged[name] = merged[tied[places]]
            continue
        tied[places] = name
        merged[name] = merge_tensor(
            merge,
            name,
            tensors,
            None if parent is None else parent[name],
            None if fishers is None else named(fishers, name),
            (named(grams, name) if grams else None) or None,
        )
    return merged


def named(models: Sequence[Mapping[str, Tensors]], name: str) -> tuple[Tensors, ...]:
    """What each model has under a name; empty where none has it, as buffers have no Fisher information."""
    return tuple(model[name] for model in models if name in model)
