"""TIES: trim, elect a sign, and average what agrees."""

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from learners.soups.methods.method import Normalize, Scale, Setting, Weights, method
from learners.soups.methods.sparsify import largest
from learners.soups.methods.task_vectors import merged


@method(
    formula="θ = θ₀ + λ mean of wᵢ top_d(θᵢ - θ₀) over those whose sign is that of their sum",
    paper="Yadav et al. 2023, TIES-Merging, https://arxiv.org/abs/2306.01708",
)
def ties(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    weights: Weights = None,
    density: Annotated[float, Setting("share of each task vector's values that is kept, the largest", 0, 1)] = 0.2,
    normalize: Normalize = True,
    scale: Scale = 1.0,
) -> Tensor:
    """Keep the largest values of each task vector, and average those whose sign has the larger sum.

    Every tensor keeps one value at least, so that scalars and short tensors are not zeroed.

    Example:
        >>> import torch
        >>> ties([torch.tensor([2.0, -1.0]), torch.tensor([4.0, 3.0])], torch.zeros(2), density=1.0)
        tensor([3., 3.])
    """
    return merged(
        tensors,
        parent,
        weights,
        lambda delta: largest(delta, density),
        consensus=True,
        normalize=normalize,
        scale=scale,
    )
