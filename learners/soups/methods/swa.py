"""Stochastic weight averaging: the mean of a run's late checkpoints."""

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import Setting, method
from schemas.errors import UsageError


@method(
    formula="θ = (1/(n-s)) Σ θₜ over the checkpoints t > s",
    paper="Izmailov et al. 2018, Averaging Weights Leads to Wider Optima, https://arxiv.org/abs/1803.05407",
    of_one_run=True,
    elementwise=True,
)
def swa(
    tensors: Sequence[Tensor], *, skip: Annotated[int, Setting("first checkpoints that are left out", 0)] = 0
) -> Tensor:
    """Take the mean of one run's checkpoints, in their order, without the first `skip`.

    Batch-norm statistics of the mean have to be estimated anew, as the paper says.

    Raises:
        UsageError: Nothing is left.
    """
    left = len(tensors) - skip
    if left < 1:
        raise UsageError(
            f"skip = {skip}: of {len(tensors)} checkpoints none is left; expected at most {len(tensors) - 1}"
        )
    return weighted_sum(tensors, [0.0] * skip + [1 / left] * left)
