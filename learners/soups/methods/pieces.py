"""Goes through tensors in pieces, so that nothing else of their size is made on the way."""

from collections.abc import Iterator

import torch
from torch import Tensor

AT_ONCE = 1 << 17
"""Values of a piece: some of them fit a core's own cache."""


def pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same values of tensors of one shape, piece after piece, as vectors; to write to one it has to be contiguous.

    Example:
        >>> for piece, other in pieces(torch.zeros(2, 2), torch.ones(2, 2)):
        ...     print(piece, other)
        tensor([0., 0., 0., 0.]) tensor([1., 1., 1., 1.])
    """
    return zip(*(torch.split(tensor.reshape(-1), AT_ONCE) for tensor in tensors), strict=True)


def product(first: Tensor, second: Tensor) -> float:
    """Inner product of two tensors, taken as vectors; the pieces' sums are added in float64."""
    return sum(float(torch.sum(one * other)) for one, other in pieces(first, second))
