"""Fisher merging: values count by how sure each model is of them."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.linear import shares_of, weighted_sum
from learners.soups.methods.method import Setting, Weights, method


@method(
    formula="θ = Σ wᵢ Fᵢ θᵢ / Σ wᵢ Fᵢ",
    paper="Matena and Raffel 2022, Merging Models with Fisher-Weighted Averaging, https://arxiv.org/abs/2111.09832",
    elementwise=True,
)
def fisher(
    tensors: Sequence[Tensor],
    fishers: Sequence[Tensor],
    *,
    weights: Weights = None,
    floor: Annotated[float, Setting("least Fisher information of a value, so that none is divided by zero", 0)] = 1e-12,
) -> Tensor:
    """Average values in proportion to the diagonal of each model's Fisher information.

    Where no model has any, the mean is plain, as it is of a tensor that is not trained, such as batch-norm statistics.

    Args:
        tensors: One a model.
        fishers: Of the same shape each: mean squared gradients of the log-likelihood; empty for what is not trained.
        weights: A number for each model, times which its Fisher information counts.
        floor: Added to each Fisher information.

    Example:
        >>> fisher([torch.tensor([0.0]), torch.tensor([4.0])], [torch.tensor([3.0]), torch.tensor([1.0])])
        tensor([1.])
    """
    shares = shares_of(weights, len(tensors))
    if not fishers:
        return weighted_sum(tensors, shares)
    total = divisor = None
    for tensor, information, share in zip(tensors, fishers, shares, strict=True):
        certainty = (information.to(tensor.dtype) + floor) * share
        total = tensor * certainty if total is None else total.addcmul_(tensor, certainty)
        divisor = certainty if divisor is None else divisor.add_(certainty)
    assert total is not None and divisor is not None, "methods take at least one model"  # noqa: S101, PT018 - checked by Method.checked
    return total / torch.where(divisor == 0, 1.0, divisor)
