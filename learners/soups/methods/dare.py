"""DARE: most of each task vector is dropped at random, and the rest made larger."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Consensus, Normalize, Scale, Setting, Weights, method
from learners.soups.methods.sparsify import RESCALES, drawn, too_small
from learners.soups.methods.task_vectors import merged


@method(
    formula="θ = θ₀ + λ Σ wᵢ mᵢ (θᵢ - θ₀) / d,  mᵢ ~ Bernoulli(d)",
    paper="Yu et al. 2024, Language Models are Super Mario, https://arxiv.org/abs/2311.03099",
)
def dare(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    generator: torch.Generator,
    weights: Weights = None,
    density: Annotated[float, Setting("probability with which a value is kept", 1e-6, 1)] = 0.1,
    rescale: Annotated[str, Setting("how the kept values make up for the dropped", choices=RESCALES)] = "density",
    consensus: Consensus = False,
    normalize: Normalize = False,
    scale: Scale = 1.0,
) -> Tensor:
    """Drop values of each task vector at random, rescale the others, and add the task vectors to the parent.

    Kept values are divided by the density, as in the paper, so that each merged value is right on average. mergekit
    rescales to the task vector's L1 norm instead, which gives the same only on average over many values; `rescale`
    "l1" does that. A tensor of so few values that less than one would be kept on average is left whole.
    """

    def thinned(delta: Tensor) -> Tensor:
        return delta if too_small(delta, density) else drawn(delta, density, rescale, generator)

    return merged(tensors, parent, weights, thinned, consensus=consensus, normalize=normalize, scale=scale)
