"""The weighted mean."""

from collections.abc import Sequence

import torch
from torch import Tensor

from learners.soups.methods.method import Normalize, Weights, method
from schemas.errors import UsageError


@method(
    formula="θ = Σ wᵢ θᵢ / Σ wᵢ",
    paper="Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482",
    elementwise=True,
)
def linear(tensors: Sequence[Tensor], *, weights: Weights = None, normalize: Normalize = True) -> Tensor:
    """Take the weighted mean of the ingredients.

    Args:
        tensors: One a model, all of one shape and floating-point type; read one at a time.
        weights: A number for each; any sign.
        normalize: Divide by the sum of the weights.

    Raises:
        UsageError: The weights sum to zero and are to be divided by.

    Example:
        >>> linear([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])], weights=[3, 1])
        tensor([1.5000, 3.0000])
    """
    if not normalize:
        return weighted_sum(tensors, [1.0] * len(tensors) if weights is None else weights)
    return weighted_sum(tensors, shares_of(weights, len(tensors)))


def shares_of(weights: Sequence[float] | None, models: int) -> list[float]:
    """Weights divided by their sum, or equal ones; raise UsageError where they sum to zero."""
    given = [1.0] * models if weights is None else list(weights)
    total = sum(given)
    if abs(total) < 1e-12 * max(1.0, *map(abs, given)):
        raise UsageError(f"weights = {given}: they sum to zero, so that there is no mean; change one of them")
    return [weight / total for weight in given]


def weighted_sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Sum of `weights[i] * tensors[i]`, in the tensors' type; each tensor is read once."""
    total: Tensor | None = None
    for number, weight in enumerate(weights):  # no name for a tensor, so that it is gone before the next is read
        if total is None:
            total = torch.mul(tensors[number], weight)
        else:
            total.add_(tensors[number], alpha=weight)
    if total is None:
        raise UsageError("there is nothing to merge: expected at least one model")
    return total
