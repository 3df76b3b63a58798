"""Averages stacked weights: the uniform soup."""

from collections.abc import Mapping

import torch
from torch import Tensor


def average(population: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean over the members of a population, without the leading axis.

    Sums in float64 and returns each tensor in the type that it is stored in. Integer and boolean tensors (counters,
    index tables) have no mean: the first member's is taken.

    Args:
        population: Tensors `[N, ...]` by name.

    Source:
        Wortsman et al. 2022, "Model soups", https://arxiv.org/abs/2203.05482.

    Example:
        >>> average({"w": torch.tensor([[1.0, 2.0], [3.0, 6.0]])})
        {'w': tensor([2., 4.])}
    """
    return {name: _mean(stacked) for name, stacked in population.items()}


def _mean(stacked: Tensor) -> Tensor:
    if stacked.is_complex():
        return stacked.mean(dim=0)
    if not stacked.is_floating_point():
        return stacked[0].clone()
    return stacked.to(torch.float64).mean(dim=0).to(stacked.dtype)


def differing_integers(population: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that cannot be averaged although the members disagree on them."""
    exact = {name: t for name, t in population.items() if not (t.is_floating_point() or t.is_complex())}
    return [name for name, stacked in exact.items() if not torch.equal(stacked, stacked[:1].expand_as(stacked))]
