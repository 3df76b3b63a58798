"""The exponential moving average of a run's checkpoints."""

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import Setting, method


@method(
    formula="m₁ = θ₁;  mₜ = d mₜ₋₁ + (1-d) θₜ",
    paper="Polyak and Juditsky 1992, Acceleration of stochastic approximation by averaging; as torch.optim.swa_utils",
    of_one_run=True,
    elementwise=True,
)
def ema(
    tensors: Sequence[Tensor],
    *,
    decay: Annotated[float, Setting("share of the average that stays at each checkpoint", 0, 1)] = 0.9,
) -> Tensor:
    """Average one run's checkpoints, in their order, later ones counting more.

    Example:
        >>> import torch
        >>> ema([torch.tensor([0.0]), torch.tensor([1.0]), torch.tensor([1.0])], decay=0.5)
        tensor([0.7500])
    """
    last = len(tensors) - 1
    shares = [decay**last] + [(1 - decay) * decay ** (last - step) for step in range(1, last + 1)]
    return weighted_sum(tensors, shares)
