"""The Karcher mean: the point of the sphere with the least squared arcs to all models."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.linear import shares_of, weighted_sum
from learners.soups.methods.method import Setting, Weights, method
from learners.soups.methods.pieces import product

SMALL = 1e-12


@method(
    formula="θ = Σ wᵢ|θᵢ| · argmin_u Σ wᵢ arccos²(u·θᵢ/|θᵢ|),  |u| = 1",
    paper="Karcher 1977, Riemannian center of mass; for merging: https://arxiv.org/abs/2603.04972",
)
def karcher(
    tensors: Sequence[Tensor],
    *,
    weights: Weights = None,
    steps: Annotated[int, Setting("most iterations", 1)] = 10,
    tolerance: Annotated[float, Setting("length of a step that ends them", 0)] = 1e-5,
) -> Tensor:
    """Average directions on the sphere by Riemannian gradient steps, and lengths by their mean.

    The ingredients are read once an iteration, one at a time. Tensors of zeros have no direction and count for the
    length only. Between two models of equal weight it is SLERP at a half, but for the length.
    """
    shares = shares_of(weights, len(tensors))
    lengths = [float(torch.linalg.vector_norm(tensors[number])) for number in range(len(tensors))]
    usable = sum(share for share, length in zip(shares, lengths, strict=True) if length > SMALL)
    if usable <= 0:
        return weighted_sum(tensors, shares)
    factors = [
        share / usable / length if length > SMALL else 0.0 for share, length in zip(shares, lengths, strict=True)
    ]
    mean = weighted_sum(tensors, factors)
    mean /= _positive(torch.linalg.vector_norm(mean))
    for _ in range(steps):
        tangent = _tangent(tensors, mean, factors, lengths)
        step = float(torch.linalg.vector_norm(tangent))
        if step < max(tolerance, SMALL):
            break
        mean.mul_(math.cos(step)).add_(tangent, alpha=math.sin(step) / step)
        del tangent
        mean /= torch.linalg.vector_norm(mean)
    return mean.mul_(sum(share * length for share, length in zip(shares, lengths, strict=True)))


def _tangent(tensors: Sequence[Tensor], mean: Tensor, factors: Sequence[float], lengths: Sequence[float]) -> Tensor:
    """Weighted mean of the arcs from the mean to each direction."""
    tangent = torch.zeros_like(mean)
    for number, (factor, length) in enumerate(zip(factors, lengths, strict=True)):
        if factor != 0:
            _add_arc(tangent, tensors[number], mean, factor, length)
    return tangent


def _add_arc(tangent: Tensor, tensor: Tensor, mean: Tensor, factor: float, length: float) -> None:
    cosine = max(-1.0, min(1.0, product(mean, tensor) / length))
    angle = math.acos(cosine)
    stretch = angle / math.sin(angle) if math.sin(angle) > SMALL else 1.0
    tangent.add_(tensor, alpha=factor * stretch).sub_(mean, alpha=factor * length * stretch * cosine)


def _positive(length: Tensor) -> Tensor:
    return torch.where(length > SMALL, length, torch.ones_like(length))
