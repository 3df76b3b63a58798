"""DiWA: the mean of runs that share a start and differ in everything else."""

from collections.abc import Sequence

from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import method


@method(
    formula="θ = (1/n) Σ θᵢ over independent runs from one start",
    paper="Ramé et al. 2022, Diverse Weight Averaging, https://arxiv.org/abs/2205.09739",
    elementwise=True,
)
def diwa(tensors: Sequence[Tensor]) -> Tensor:
    """Take the mean of independently trained runs; the paper's restricted variant is the greedy soup's selection."""
    return weighted_sum(tensors, [1 / len(tensors)] * len(tensors))
