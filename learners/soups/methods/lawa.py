"""Latest weight averaging: the mean of a run's last checkpoints."""

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from learners.soups.methods.linear import weighted_sum
from learners.soups.methods.method import Setting, method


@method(
    formula="θ = (1/k) Σ θₜ over the last k checkpoints",
    paper="Kaddour 2022, Stop Wasting My Time! (LAWA), https://arxiv.org/abs/2209.14981",
    of_one_run=True,
    elementwise=True,
)
def lawa(tensors: Sequence[Tensor], *, last: Annotated[int, Setting("checkpoints that are averaged", 1)] = 5) -> Tensor:
    """Take the mean of one run's last checkpoints, in their order; all of them where there are fewer than `last`."""
    taken = min(last, len(tensors))
    return weighted_sum(tensors, [0.0] * (len(tensors) - taken) + [1 / taken] * taken)
