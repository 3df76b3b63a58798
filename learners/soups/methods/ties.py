"""TIES: trim, elect a sign, and average what agrees.

>>> import torch
>>> ties([torch.tensor([2.0, -1.0]), torch.tensor([4.0, 3.0])], torch.zeros(2), density=1.0)
tensor([3., 3.])
"""

from typing import Annotated

from torch import Tensor

from learners.soups.methods.method import Setting
from learners.soups.methods.sparsify import largest
from learners.soups.methods.task_vectors import task_vectors


@task_vectors(
    formula="θ = θ₀ + λ mean of wᵢ top_d(θᵢ - θ₀) over those whose sign is that of their sum",
    paper="Yadav et al. 2023, TIES-Merging, https://arxiv.org/abs/2306.01708",
    consensus=None,
    normalize=True,
)
def ties(
    delta: Tensor,
    *,
    density: Annotated[float, Setting("share of each task vector's values that is kept, the largest", 0, 1)] = 0.2,
) -> Tensor:
    """Keep the largest values of each task vector, and average those whose sign has the larger sum.

    Every tensor keeps one value at least, so that scalars and short tensors are not zeroed.
    """
    return largest(delta, density)
