"""Finds the permutations that leave a network's function as it is, by watching it compute."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from learners.soups.alignment.axes import Axis, Dimension, fix, leaves
from learners.soups.alignment.operations import ACTIVATIONS, LAYERS, LOOKED_AT, RULES
from learners.soups.alignment.rules import fixed_axes
from learners.soups.alignment.specification import Factor, Specification, View
from schemas.errors import UsageError

SAMPLES = 2


def permutations_of(module: nn.Module, x: Tensor) -> Specification:
    """Watch a network compute, and give the groups of units whose order is free.

    Nothing is told of its architecture: each operation of torch says which dimensions of its result are which of its
    arguments'. Units that something hangs on the order of (pixels, places, tokens, classes) are no group. The heads of
    an attention are a group, and the dimensions within a head are one that all heads share.

    Args:
        module: Any network, in evaluation mode; it may have no values.
        x: Samples `[n, ...]` of which shape and type count.

    Raises:
        UsageError: The network uses an operation that nobody here knows the dimensions of.
    """
    copy = deepcopy(module).to_empty(device="cpu").eval()
    with torch.no_grad():
        for tensor in (*copy.parameters(), *copy.buffers()):
            tensor.zero_()
        watcher = _Watcher(copy)
        sample = torch.zeros((SAMPLES, *x.shape[1:]), dtype=x.dtype)
        watcher.put(sample, [[Axis(SAMPLES, fixed=True, samples=True)], *fixed_axes(sample.shape[1:])])
        with watcher:
            out = copy(sample)
    for dimension in watcher.get(out):
        fix(dimension)
    return watcher.specification(copy)


def _named(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Everything that a network's state holds, tied tensors under each of their names."""
    yield from module.named_parameters(remove_duplicate=False)
    held = module.state_dict(keep_vars=True)
    yield from ((name, buffer) for name, buffer in module.named_buffers(remove_duplicate=False) if name in held)


class _Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's modes have no types
    """Labels the dimensions of all tensors while operations run."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.labels: dict[int, list[Dimension]] = {}
        self.alive: list[Tensor] = []  # so that no number is given to two tensors
        self.seen: list[tuple[str, list[Dimension]]] = []
        for _, tensor in _named(module):
            if id(tensor) not in self.labels:
                self.put(tensor, [[Axis(size)] if size > 1 else [] for size in tensor.shape])

    def get(self, tensor: Tensor) -> list[Dimension]:
        if id(tensor) not in self.labels:
            self.put(tensor, fixed_axes(tensor.shape))
        return self.labels[id(tensor)]

    def put(self, tensor: Tensor, dimensions: list[Dimension]) -> None:
        self.labels[id(tensor)] = dimensions
        self.alive.append(tensor)

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: Mapping[str, Any] | None = None
    ) -> Any:
        out = function(*arguments, **(keywords or {}))
        name = function.overloadpacket.__name__
        known = any(id(tensor) in self.labels for tensor in _flat(arguments))
        if known and name in RULES:
            RULES[name](self, arguments, out)
        elif known and _flat([out]):
            raise UsageError(
                f"this network cannot be aligned: it uses the operation {name}, of which it is not known here what it "
                "does to the order of units; add a rule to learners/soups/alignment/operations.py"
            )
        if name in LOOKED_AT:
            self.seen.append((name, self.get(_flat([out])[0])))
        return out

    def specification(self, module: nn.Module) -> Specification:
        groups: dict[int, int] = {}
        sizes: list[int] = []

        def factor(axis: Axis) -> Factor:
            if axis.fixed:
                return Factor(-1 if axis.samples else axis.size, None)
            if id(axis) not in groups:
                groups[id(axis)] = len(sizes)
                sizes.append(axis.size)
            return Factor(axis.size, groups[id(axis)])

        def view(dimensions: list[Dimension]) -> View:
            return tuple(tuple(factor(axis) for axis in leaves(dimension)) for dimension in dimensions)

        tensors = {name: view(self.get(tensor)) for name, tensor in _named(module)}
        places = {place: (name, view(dimensions)) for place, (name, dimensions) in enumerate(self.seen)}
        return Specification(tuple(sizes), tensors, _looked_at(places))


def _looked_at(places: Mapping[int, tuple[str, View]]) -> dict[int, View]:
    """Where units are looked at: after activation functions, and after layers those that no activation shows."""
    chosen: dict[int, View] = {}
    shown: set[int] = set()
    for kinds in (ACTIVATIONS, LAYERS):
        found = {place: view for place, (name, view) in places.items() if name in kinds and _groups(view) - shown}
        chosen |= found
        shown |= {group for view in found.values() for group in _groups(view)}
    return chosen


def _groups(view: View) -> set[int]:
    return {factor.group for dimension in view for factor in dimension if factor.group is not None}


def _flat(values: Any) -> list[Tensor]:
    found = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _flat(value)
    return found
