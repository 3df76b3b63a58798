"""Averages weights, stacked or one model after the other: the uniform soup."""

from collections.abc import Iterable, Mapping

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


def mean_of(models: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The same of models that come one after the other: the sum and one of them are in memory, however many they are.

    Example:
        >>> mean_of([{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}])
        {'w': tensor([2., 4.])}
    """
    first: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    count = 0
    for count, model in enumerate(models, start=1):
        for name, tensor in model.items():
            if count == 1:
                first[name] = tensor
            if _is_exact(first[name]):
                continue
            wide = tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
            sums[name] = sums[name].add_(wide) if name in sums else wide.clone()
    return {
        name: tensor.clone() if _is_exact(tensor) else sums[name].div_(count).to(tensor.dtype)
        for name, tensor in first.items()
    }


def differing_integers(models: Iterable[Mapping[str, Tensor]]) -> list[str]:
    """Names of the tensors that cannot be averaged although the models disagree on them."""
    first: dict[str, Tensor] = {}
    differing: dict[str, None] = {}
    for model in models:
        for name, tensor in model.items():
            if _is_exact(tensor) and not torch.equal(tensor, first.setdefault(name, tensor)):
                differing[name] = None
    return list(differing)


def _is_exact(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex())
