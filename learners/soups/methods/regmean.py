"""RegMean: the linear layer whose outputs are closest to those of all models on their own inputs."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.linear import shares_of, weighted_sum
from learners.soups.methods.method import Setting, Weights, method

JITTER = 1e-10


@method(
    formula="W = (Σ wᵢ Wᵢ Gᵢ)(Σ wᵢ Gᵢ)⁻¹,  Gᵢ = XᵢᵀXᵢ with off-diagonal values times a",
    paper="Jin et al. 2023, Dataless Knowledge Fusion by Merging Weights, https://arxiv.org/abs/2212.09849",
)
def regmean(
    tensors: Sequence[Tensor],
    grams: Sequence[Tensor] | None,
    *,
    weights: Weights = None,
    off_diagonal: Annotated[float, Setting("factor of the Gram matrices' off-diagonal values", 0, 1)] = 0.9,
) -> Tensor:
    """Merge the weights of a linear layer in closed form; a tensor that has no Gram matrices is averaged.

    Solved in float64. Directions in which no input lies take the mean of the models.

    Args:
        tensors: Weights `[outputs, inputs...]`, one a model; a convolution's inputs are flattened.
        grams: `[inputs, inputs]` each: inputs times inputs, summed over samples (and places).
        weights: A number for each model.
        off_diagonal: The paper's alpha; less than 1 keeps the sum well-conditioned.
    """
    shares = shares_of(weights, len(tensors))
    if grams is None:
        return weighted_sum(tensors, shares)
    outputs, inputs = len(tensors[0]), len(grams[0])
    wanted, mean = (torch.zeros(outputs, inputs, dtype=torch.float64) for _ in range(2))
    total = torch.zeros(inputs, inputs, dtype=torch.float64)
    for tensor, gram, share in zip(tensors, grams, shares, strict=True):
        shrunk = gram.double() * (off_diagonal * share)
        shrunk.diagonal().copy_(gram.diagonal() * share)
        rows = tensor.double().reshape(outputs, inputs)
        wanted.addmm_(rows, shrunk)
        mean.add_(rows, alpha=share)
        total.add_(shrunk)
    jitter = JITTER * float(total.diagonal().mean().clamp(min=JITTER))
    total.diagonal().add_(jitter)
    solved: Tensor = torch.linalg.solve(total, wanted.add_(mean, alpha=jitter), left=False)
    return solved.to(tensors[0].dtype).reshape(tensors[0].shape)
