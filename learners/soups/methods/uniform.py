"""The plain mean: the uniform soup."""

from collections.abc import Sequence

from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import method


@method(
    formula="θ = (1/n) Σ θᵢ",
    paper="Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482",
    elementwise=True,
)
def uniform(tensors: Sequence[Tensor]) -> Tensor:
    """Take the mean of all ingredients.

    Example:
        >>> import torch
        >>> uniform([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])])
        tensor([2., 4.])
    """
    return weighted_sum(tensors, [1 / len(tensors)] * len(tensors))
