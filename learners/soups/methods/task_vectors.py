"""Adds up the differences between models and their parent, as all merges of task vectors do."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

NO_WEIGHT = 1e-8
"""Weights that sum to less than this are not divided by."""

Sparsify = Callable[[Tensor], Tensor]
"""What is done to a task vector before it is added: values are left out, others may grow."""


def weights_of(tensors: Sequence[Tensor], weights: Sequence[float] | None) -> list[float]:
    """The weights, or ones."""
    return [1.0] * len(tensors) if weights is None else list(weights)


def merged(
    tensors: Sequence[Tensor],
    parent: Tensor,
    weights: Sequence[float] | None,
    sparsify: Sparsify,
    *,
    consensus: bool,
    normalize: bool,
    scale: float,
) -> Tensor:
    """Give parent + scale * (sum of weighted sparse task vectors), one task vector in memory at a time.

    Args:
        tensors: One a model.
        parent: What they are compared with.
        weights: A number for each task vector.
        sparsify: What each goes through.
        consensus: Leave out values of the sign that the weighted majority of the sum does not have (TIES).
        normalize: Divide by the sum of the weights that count at each place.
        scale: Factor of the sum.
    """
    shares = weights_of(tensors, weights)
    deltas = (sparsify(tensor - parent) for tensor in tensors)
    combined = (_agreed if consensus else _summed)(deltas, torch.zeros_like(parent), shares, normalize)
    return parent + combined.mul_(scale)


def _summed(deltas: Iterable[Tensor], total: Tensor, weights: Sequence[float], normalize: bool) -> Tensor:
    """Add the weighted task vectors to a total of zeros."""
    for delta, weight in zip(deltas, weights, strict=True):
        total.add_(delta, alpha=weight)
    divisor = sum(weights)
    return total.div_(divisor) if normalize and abs(divisor) > NO_WEIGHT else total


def _agreed(deltas: Iterable[Tensor], above: Tensor, weights: Sequence[float], normalize: bool) -> Tensor:
    """Sum what is above zero and what is below apart; the larger of the two is the elected sign's sum."""
    below, weight_above, weight_below = (torch.zeros_like(above) for _ in range(3))
    for delta, weight in zip(deltas, weights, strict=True):
        delta.mul_(weight)
        above.add_(delta.clamp(min=0))
        below.add_(delta.clamp(max=0))
        weight_above.add_(delta > 0, alpha=weight)
        weight_below.add_(delta < 0, alpha=weight)
    positive = above + below >= 0
    total = torch.where(positive, above, below)
    if normalize:
        divisor = torch.where(positive, weight_above, weight_below)
        total.div_(torch.where(divisor == 0, 1.0, divisor))
    return total
