"""DARE: most of each task vector is dropped at random, and the rest made larger."""

from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting
from learners.soups.methods.sparsify import Rescale, drawn, too_small
from learners.soups.methods.task_vectors import task_vectors


@task_vectors(
    formula="θ = θ₀ + λ Σ wᵢ mᵢ (θᵢ - θ₀) / d,  mᵢ ~ Bernoulli(d)",
    paper="Yu et al. 2024, Language Models are Super Mario, https://arxiv.org/abs/2311.03099",
    consensus=False,
    normalize=False,
)
def dare(
    delta: Tensor,
    *,
    generator: torch.Generator,
    density: Annotated[float, Setting("probability with which a value is kept", 1e-6, 1)] = 0.1,
    rescale: Rescale = "density",
) -> Tensor:
    """Drop values of each task vector at random, rescale the others, and add the task vectors to the parent.

    Kept values are divided by the density, as in the paper, so that each merged value is right on average. mergekit
    rescales to the task vector's L1 norm instead, which gives the same only on average over many values; `rescale`
    "l1" does that. A tensor of so few values that less than one would be kept on average is left whole.
    """
    return delta if too_small(delta, density) else drawn(delta, density, rescale, generator)
