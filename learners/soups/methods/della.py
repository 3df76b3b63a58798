"""DELLA: values of task vectors are dropped at random, small ones more often."""

from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting
from learners.soups.methods.pieces import AT_ONCE
from learners.soups.methods.sparsify import Rescale, drawn, too_small
from learners.soups.methods.task_vectors import task_vectors
from schemas.errors import UsageError


@task_vectors(
    formula="θ = θ₀ + λ mean of wᵢ mᵢ (θᵢ - θ₀) / pᵢ,  mᵢ ~ Bernoulli(pᵢ),  pᵢ from d-ε to d+ε by rank in its row",
    paper="Deep et al. 2024, DELLA-Merging, https://arxiv.org/abs/2406.11617",
    consensus=True,
    normalize=True,
)
def della(
    delta: Tensor,
    *,
    generator: torch.Generator,
    density: Annotated[float, Setting("mean probability with which a value is kept", 1e-6, 1)] = 0.4,
    spread: Annotated[float, Setting("how far the probability goes below and above", 0, 0.5)] = 0.15,
    rescale: Rescale = "density",
) -> Tensor:
    """Drop values of each task vector at random, by their rank in their row, and merge the rest as TIES does.

    Kept values are divided by their own probability, as in the paper; `rescale` "l1" does what mergekit does. Rows
    are those of the first axis.

    Raises:
        UsageError: A probability would be below 0 or above 1.
    """
    if density < 1 and not (density - spread > 0 and density + spread <= 1):
        raise UsageError(f"spread = {spread}: density - spread has to be above 0 and density + spread at most 1")
    if too_small(delta, density):
        return delta
    return drawn(delta, _probabilities(delta, density, spread), rescale, generator)


def _probabilities(delta: Tensor, density: float, spread: float) -> Tensor:
    """Probability of each value: the smallest magnitude of a row has density - spread, the largest density + spread."""
    rows = delta.reshape(len(delta) if delta.ndim > 1 else 1, -1)
    places = rows.shape[1]
    if places == 1:
        return torch.full_like(delta, density)
    ranks = torch.empty(rows.shape, dtype=rows.dtype)
    steps = torch.linspace(density - spread, density + spread, places, dtype=rows.dtype)
    few = max(1, AT_ONCE // places)
    for part, into in zip(torch.split(rows, few), torch.split(ranks, few), strict=True):
        into.scatter_(1, part.abs().argsort(dim=1), steps.expand_as(part))
    return ranks.view(delta.shape)
