"""Which units of a network may change places, where each of them is found, and networks with their units moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Permutations = list[Tensor]
"""For each group of units the old number of each new one, `[size]`, int64."""


class Factor(NamedTuple):
    """A factor of a dimension: its size, and the group of units that it indexes; None where its order is fixed.

    The factor that counts samples has size -1.
    """

    size: int
    group: int | None


View = tuple[tuple[Factor, ...], ...]
"""The factors of each dimension of a tensor, outermost first."""


@dataclass(frozen=True)
class Specification:
    """The symmetries of a network.

    Attributes:
        sizes: Number of units of each group.
        tensors: For each tensor of its state what its dimensions index.
        activations: The same for results of operations after which units are looked at, by their number among those
            of `learners.soups.alignment.operations.LOOKED_AT`.
    """

    sizes: tuple[int, ...]
    tensors: Mapping[str, View]
    activations: Mapping[int, View]

    def identity(self) -> Permutations:
        """Every unit in its place."""
        return [torch.arange(size) for size in self.sizes]

    def random(self, generator: torch.Generator) -> Permutations:
        """Units shuffled."""
        return [torch.randperm(size, generator=generator) for size in self.sizes]

    def permute(self, weights: Mapping[str, Tensor], permutations: Permutations) -> dict[str, Tensor]:
        """Move a network's units: what comes back computes the same function.

        Args:
            weights: Tensors of one model by name; those that the specification does not know stay as they are.
            permutations: One for each group.
        """
        return {
            name: moved(tensor, self.tensors[name], permutations) if name in self.tensors else tensor
            for name, tensor in weights.items()
        }


def inverse(permutations: Permutations) -> Permutations:
    """The permutations that undo these."""
    return [torch.argsort(permutation) for permutation in permutations]


def compose(first: Permutations, second: Permutations) -> Permutations:
    """What moving by the first and then by the second comes to."""
    return [one[other] for one, other in zip(first, second, strict=True)]


def factored(tensor: Tensor, view: View) -> Tensor:
    """A tensor with a dimension for each factor."""
    return tensor.reshape([factor.size for dimension in view for factor in dimension])


def factors(view: View) -> list[Factor]:
    """All factors of a tensor, in the order of `factored`."""
    return [factor for dimension in view for factor in dimension]


def moved(tensor: Tensor, view: View, permutations: Sequence[Tensor], but: int | None = None) -> Tensor:
    """A tensor whose factors are permuted, all but the one at the place `but`."""
    parts = factored(tensor, view)
    for place, factor in enumerate(factors(view)):
        if factor.group is not None and place != but:
            parts = parts.index_select(place, permutations[factor.group])
    return parts.reshape(tensor.shape)
