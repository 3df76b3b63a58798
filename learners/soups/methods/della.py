"""DELLA: values of task vectors are dropped at random, small ones more often."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Consensus, Normalize, Scale, Setting, Weights, method
from learners.soups.methods.sparsify import RESCALES, drawn, too_small
from learners.soups.methods.task_vectors import merged
from schemas.errors import UsageError


@method(
    formula="θ = θ₀ + λ mean of wᵢ mᵢ (θᵢ - θ₀) / pᵢ,  mᵢ ~ Bernoulli(pᵢ),  pᵢ from d-ε to d+ε by rank in its row",
    paper="Deep et al. 2024, DELLA-Merging, https://arxiv.org/abs/2406.11617",
)
def della(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    generator: torch.Generator,
    weights: Weights = None,
    density: Annotated[float, Setting("mean probability with which a value is kept", 1e-6, 1)] = 0.4,
    spread: Annotated[float, Setting("how far the probability goes below and above", 0, 0.5)] = 0.15,
    rescale: Annotated[str, Setting("how the kept values make up for the dropped", choices=RESCALES)] = "density",
    consensus: Consensus = True,
    normalize: Normalize = True,
    scale: Scale = 1.0,
) -> Tensor:
    """Drop values of each task vector at random, by their rank in their row, and merge the rest as TIES does.

    Kept values are divided by their own probability, as in the paper; `rescale` "l1" does what mergekit does. Rows
    are those of the first axis.

    Raises:
        UsageError: A probability would be below 0 or above 1.
    """
    if density < 1 and not (density - spread > 0 and density + spread <= 1):
        raise UsageError(f"spread = {spread}: density - spread has to be above 0 and density + spread at most 1")

    def thinned(delta: Tensor) -> Tensor:
        if too_small(delta, density):
            return delta
        return drawn(delta, _probabilities(delta, density, spread), rescale, generator)

    return merged(tensors, parent, weights, thinned, consensus=consensus, normalize=normalize, scale=scale)


def _probabilities(delta: Tensor, density: float, spread: float) -> Tensor:
    """Probability of each value: the smallest magnitude of a row has density - spread, the largest density + spread."""
    rows = delta.abs().reshape(len(delta) if delta.ndim > 1 else 1, -1)
    places = rows.shape[1]
    if places == 1:
        return torch.full_like(delta, density)
    ranks = torch.empty_like(rows)
    steps = torch.linspace(density - spread, density + spread, places, dtype=rows.dtype).expand_as(rows)
    return ranks.scatter_(1, rows.argsort(dim=1), steps).view_as(delta)
