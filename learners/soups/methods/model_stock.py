"""Model Stock: the mean of fine-tunes, drawn towards their parent as far as their angles say."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting, method

SMALL = 1e-12


@method(
    formula="θ = t mean(θᵢ) + (1-t) θ₀,  t = n cos φ / (1 + (n-1) cos φ),  φ the mean angle of task vectors",
    paper="Jang et al. 2024, Model Stock, https://arxiv.org/abs/2403.19522",
)
def model_stock(
    tensors: Sequence[Tensor],
    parent: Tensor,
    *,
    by_filter: Annotated[bool, Setting("whether each row of the first axis has a factor of its own")] = False,
) -> Tensor:
    """Interpolate between the parent and the mean of its fine-tunes; t is kept from 0 to 1.

    Fine-tunes that point apart (a mean cosine below zero) would put the merged model beyond the parent, which no
    loss was ever measured at, so that it is the parent itself. The mean cosine over pairs is that of the sum of unit
    task vectors: (|Σuᵢ|² - Σ|uᵢ|²) / n(n-1), so that the ingredients are read once.
    """
    rows = len(parent) if by_filter and parent.ndim > 1 else 1
    mean = torch.zeros_like(parent)
    units = torch.zeros(rows, max(1, parent.numel() // rows), dtype=parent.dtype)
    squares = torch.zeros(rows, 1, dtype=parent.dtype)
    for tensor in tensors:
        mean.add_(tensor, alpha=1 / len(tensors))
        delta = (tensor - parent).reshape(rows, -1) if parent.numel() else torch.zeros_like(units)
        length = torch.linalg.vector_norm(delta, dim=1, keepdim=True)
        delta.div_(length.clamp(min=SMALL))
        units.add_(delta)
        squares.add_(delta.square().sum(dim=1, keepdim=True))
    count = len(tensors)
    cosine = (units.square().sum(dim=1, keepdim=True) - squares) / (count * (count - 1))
    factor = (count * cosine / (1 + (count - 1) * cosine).clamp(min=SMALL)).clamp(0, 1)
    factor = factor.reshape(rows, *[1] * (parent.ndim - 1)) if rows > 1 else factor.reshape(())
    return factor * mean + (1 - factor) * parent
