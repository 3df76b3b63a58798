"""SCE: select by variance, calculate weights by energy, erase the minority's signs."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting, method
from learners.soups.methods.pieces import pieces
from learners.soups.methods.sparsify import kept_count, of_ranks


@method(
    formula="θ = θ₀ + Σ wᵢ s δᵢ / Σ wᵢ over those of the elected sign,  wᵢ ∝ Σ (s δᵢ)²,  s = 1 where Var δ is largest",
    paper="Wan et al. 2024, FuseChat, https://arxiv.org/abs/2408.07990",
)
def sce(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    density: Annotated[float, Setting("share of places that is kept, those of largest variance", 0, 1)] = 0.1,
) -> Tensor:
    """Merge task vectors where models differ most, each weighted by the squares of what is kept of it.

    The ingredients are read three times, one at a time. Of the places that differ at all one is kept at least.
    """
    mask = _most_varied(tensors, parent, density) if density < 1 else torch.tensor(True).expand(parent.shape)
    direction, models = torch.zeros(parent.shape, dtype=parent.dtype), range(len(tensors))
    energies = [_energy(tensors[number], parent, mask, direction) for number in models]
    total = sum(energies)
    positive = direction >= 0
    merged, divisor = direction.zero_(), torch.zeros_like(direction)
    for number in models:
        weight = energies[number] / total if total > 0 else 1 / len(energies)
        _add(tensors[number], parent, mask, positive, weight, merged, divisor)
    return merged.div_(divisor.masked_fill_(divisor == 0, 1.0)).add_(parent)


def _energy(tensor: Tensor, parent: Tensor, mask: Tensor, direction: Tensor) -> float:
    """Sum of squares of what is kept of a task vector, which is added to the direction of all."""
    energy = 0.0
    for value, origin, kept, into in pieces(tensor, parent, mask, direction):
        delta = (value - origin).mul_(kept)
        energy += float(delta.square().sum(dtype=torch.float64))
        into.add_(delta)
    return energy


def _add(
    tensor: Tensor, parent: Tensor, mask: Tensor, positive: Tensor, weight: float, merged: Tensor, divisor: Tensor
) -> None:
    """Add what a task vector has of the elected sign, and its weight where that is."""
    for value, origin, kept, sign, into, count in pieces(tensor, parent, mask, positive, merged, divisor):
        delta = (value - origin).mul_(kept)
        agrees = ((delta > 0) == sign) & (delta != 0)
        into.add_(delta.mul_(agrees), alpha=weight)
        count.add_(agrees, alpha=weight)


def _most_varied(tensors: Sequence[Tensor], parent: Tensor, density: float) -> Tensor:
    """Mask of the places of largest variance between the task vectors (Welford's running variance)."""
    squares = _variances(tensors, parent)
    varied = int(torch.count_nonzero(squares))
    if density == 0 or not varied:
        return torch.zeros(parent.shape, dtype=torch.bool)
    return of_ranks(squares, squares.numel() - kept_count(varied, density), squares.numel()) != 0


def _variances(tensors: Sequence[Tensor], parent: Tensor) -> Tensor:
    mean, squares = (torch.zeros(parent.shape, dtype=parent.dtype) for _ in range(2))
    for number in range(len(tensors)):
        _add_variance(tensors[number], parent, mean, squares, number + 1)
    return squares


def _add_variance(tensor: Tensor, parent: Tensor, mean: Tensor, squares: Tensor, count: int) -> None:
    for value, origin, middle, into in pieces(tensor, parent, mean, squares):
        delta = value - origin
        away = delta - middle
        middle.add_(away, alpha=1 / count)
        into.add_(away.mul_(delta.sub_(middle)))
