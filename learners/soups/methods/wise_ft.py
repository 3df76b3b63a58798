"""WiSE-FT: a point on the way from a pre-trained model to its fine-tune."""

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import Setting, method


@method(
    formula="θ = (1-a) θ₀ + a θ₁",
    paper="Wortsman et al. 2022, Robust fine-tuning of zero-shot models, https://arxiv.org/abs/2109.01903",
    least=1,
    most=1,
    elementwise=True,
)
def wise_ft(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    alpha: Annotated[float, Setting("how far from the parent to the fine-tune", 0, 1)] = 0.5,
) -> Tensor:
    """Interpolate between the parent and one fine-tune of it.

    Example:
        >>> import torch
        >>> wise_ft([torch.tensor([4.0])], torch.tensor([0.0]), alpha=0.25)
        tensor([1.])
    """
    return weighted_sum([parent, *tensors], [1 - alpha, alpha])
