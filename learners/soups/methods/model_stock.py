"""Model Stock: the mean of fine-tunes, drawn towards their parent as far as their angles say."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting, method
from learners.soups.methods.pieces import AT_ONCE

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
    task vectors: (|Σuᵢ|² - Σ|uᵢ|²) / n(n-1), so that the ingredients are read twice, one at a time.
    """
    if not parent.numel():
        return parent.clone()
    count, rows = len(tensors), len(parent) if by_filter and parent.ndim > 1 else 1
    together = torch.zeros(parent.shape, dtype=parent.dtype)
    squares = torch.zeros(rows, 1, dtype=torch.float64)
    for number in range(count):
        squares += _add_unit(tensors[number], parent, together, rows)
    cosine = (_squares(together, rows) - squares) / (count * (count - 1))
    factor = (count * cosine / (1 + (count - 1) * cosine).clamp(min=SMALL)).clamp(0, 1)
    factor = factor.to(parent.dtype).reshape((rows, *[1] * (parent.ndim - 1)) if rows > 1 else ())
    mean = together.zero_()
    for number in range(count):
        mean.add_(tensors[number], alpha=1 / count)
    return mean.mul_(factor).addcmul_(parent, 1 - factor)


def _add_unit(tensor: Tensor, parent: Tensor, together: Tensor, rows: int) -> Tensor:
    """Add the direction of each row of a task vector; gives the squares of what was added, `[rows, 1]`."""
    lengths = _squares(tensor, rows, parent).sqrt()
    divisors = lengths.clamp(min=SMALL)
    for where, (value, origin, into) in _blocks(rows, tensor, parent, together):
        into.add_((value - origin).div_(divisors[where].to(value.dtype)))
    return (lengths / divisors).square()


def _squares(tensor: Tensor, rows: int, parent: Tensor | None = None) -> Tensor:
    """Sum of the squares of each row, of the difference to the parent if there is one, `[rows, 1]`, in float64."""
    found = torch.zeros(rows, 1, dtype=torch.float64)
    for where, (value, *origin) in _blocks(rows, tensor, *([] if parent is None else [parent])):
        delta = value - origin[0] if origin else value
        found[where] += delta.square().sum(dim=1, keepdim=True, dtype=torch.float64)
    return found


def _blocks(rows: int, *tensors: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
    """The same values of tensors of one shape, seen as so many rows, block after block, and which rows these are."""
    views = [tensor.reshape(rows, -1) for tensor in tensors]
    columns = views[0].shape[1]
    few = max(1, AT_ONCE // columns)
    for row in range(0, rows, few):
        for column in range(0, columns, AT_ONCE):
            where = slice(row, row + few)
            yield where, [view[where, column : column + AT_ONCE] for view in views]
