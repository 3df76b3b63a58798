"""Task arithmetic: task vectors are added to the parent."""

from collections.abc import Sequence

from torch import Tensor

from learners.soups.methods.method import Normalize, Scale, Weights, method
from learners.soups.methods.task_vectors import merged


@method(
    formula="θ = θ₀ + λ Σ wᵢ (θᵢ - θ₀)",
    paper="Ilharco et al. 2023, Editing Models with Task Arithmetic, https://arxiv.org/abs/2212.04089",
    least=1,
    elementwise=True,
)
def task_arithmetic(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    weights: Weights = None,
    normalize: Normalize = False,
    scale: Scale = 1.0,
) -> Tensor:
    """Add the weighted task vectors to the parent; the paper finds scales of 0.3 to 0.5 best for many tasks.

    Example:
        >>> import torch
        >>> task_arithmetic([torch.tensor([2.0]), torch.tensor([4.0])], torch.tensor([1.0]))
        tensor([5.])
    """
    return merged(tensors, parent, weights, lambda delta: delta, consensus=False, normalize=normalize, scale=scale)
