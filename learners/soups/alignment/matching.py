"""Matches units group by group, until no group can be matched better: linear assignment by coordinate descent."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped] # it says nothing of its types
from torch import Tensor

from learners.soups.alignment.specification import Permutations, Specification, View, factored, factors, moved
from zoo.randomness import generator

SWEEPS = 100
BETTER = 1e-9


@dataclass(frozen=True)
class Match:
    """How the units of one network are to be moved to match those of another.

    Attributes:
        permutations: For each group, the unit of the moved network that comes to each place.
        similarity: Inner product of what was compared, after moving.
        before: The same before moving.
    """

    permutations: Permutations
    similarity: float
    before: float


@dataclass(frozen=True)
class Compared:
    """Tensors of two networks whose inner product is to become large, and what their dimensions index."""

    first: Mapping[str, Tensor]
    second: Mapping[str, Tensor]
    views: Mapping[str, View]

    def similarity(self, permutations: Permutations) -> float:
        """Inner product, after the second network's units are moved."""
        total = 0.0
        for name, view in self.views.items():
            total += float((self.first[name] * moved(self.second[name], view, permutations)).sum())
        return total

    def scores(self, group: int, size: int, permutations: Permutations) -> Tensor:
        """What each unit of the first gains from each unit of the second, `[size, size]`, all other groups moved."""
        scores = torch.zeros(size, size, dtype=torch.float64)
        for name, view in self.views.items():
            for place, factor in enumerate(factors(view)):
                if factor.group == group:
                    one = factored(self.first[name], view).movedim(place, 0).reshape(size, -1)
                    other = factored(moved(self.second[name], view, permutations, but=place), view)
                    scores += one @ other.movedim(place, 0).reshape(size, -1).T
        return scores


def match(specification: Specification, compared: Compared, seeds: int = 1) -> Match:
    """Move units until the inner product of two networks' tensors grows no more.

    One group after the other is matched by a linear assignment, in an order that is drawn anew in each sweep; of
    several seeds the best result counts.

    Args:
        specification: Which units there are.
        compared: What is compared, float64.
        seeds: Number of orders that are tried.

    Source:
        Ainsworth et al. 2023, Git Re-Basin, algorithm 1, https://arxiv.org/abs/2209.04836.
    """
    before = compared.similarity(specification.identity())
    results = [_descend(specification, compared, seed) for seed in range(seeds)]
    best = max(results, key=compared.similarity)
    return Match(best, compared.similarity(best), before)


def _descend(specification: Specification, compared: Compared, seed: int) -> Permutations:
    permutations = specification.identity()
    source = generator("matching", seed)
    for _ in range(SWEEPS):
        grown = False
        for group in torch.randperm(len(specification.sizes), generator=source).tolist():
            size = specification.sizes[group]
            scores = compared.scores(group, size, permutations)
            chosen = torch.from_numpy(linear_sum_assignment(scores.numpy(), maximize=True)[1])
            places = torch.arange(size)
            gain = float(scores[places, chosen].sum() - scores[places, permutations[group]].sum())
            if gain > BETTER * (1 + float(scores.abs().sum()) / size):
                permutations[group] = chosen
                grown = True
        if not grown:
            break
    return permutations
