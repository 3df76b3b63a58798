"""SCE: select by variance, calculate weights by energy, erase the minority's signs."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting, method
from learners.soups.methods.sparsify import kept_count


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
    mask = _most_varied(tensors, parent, density) if density < 1 else None
    energies = []
    direction = torch.zeros_like(parent)
    for delta in _selected(tensors, parent, mask):
        energies.append(float(delta.square().sum(dtype=torch.float64)))
        direction.add_(delta)
    total = sum(energies)
    weights = [energy / total for energy in energies] if total > 0 else [1 / len(energies)] * len(energies)
    positive = direction >= 0
    merged, divisor = torch.zeros_like(parent), torch.zeros_like(parent)
    for delta, weight in zip(_selected(tensors, parent, mask), weights, strict=True):
        agrees = (delta > 0) == positive
        agrees &= delta != 0
        merged.add_(delta.mul_(agrees), alpha=weight)
        divisor.add_(agrees, alpha=weight)
    return parent + merged.div_(torch.where(divisor == 0, 1.0, divisor))


def _selected(tensors: Sequence[Tensor], parent: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
    for tensor in tensors:
        delta = tensor - parent
        yield delta if mask is None else delta.mul_(mask)


def _most_varied(tensors: Sequence[Tensor], parent: Tensor, density: float) -> Tensor:
    """Mask of the places of largest variance between the task vectors (Welford's running variance)."""
    mean, squares = torch.zeros_like(parent), torch.zeros_like(parent)
    for number, tensor in enumerate(tensors, start=1):
        delta = tensor - parent
        away = delta - mean
        mean.add_(away, alpha=1 / number)
        squares.add_(away.mul_(delta - mean))
    mask = torch.zeros(parent.numel(), dtype=torch.bool)
    varied = int(torch.count_nonzero(squares))
    if density > 0 and varied:
        mask[torch.topk(squares.reshape(-1), kept_count(varied, density), sorted=False).indices] = True
    return mask.view(parent.shape)
