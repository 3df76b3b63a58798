"""Random vectors for estimators, from a seed of their own and the same on every device."""

import torch
from torch import Tensor

from zoo.randomness import generator


def gaussian(like: Tensor, count: int, seed: int) -> Tensor:
    """Standard normal vectors `[N, count, P]` for a tensor `[N, P]`: the same ones for each member."""
    drawn = torch.randn(count, like.shape[1], generator=generator("gaussian probes", seed))
    return drawn.to(like).expand(like.shape[0], -1, -1)


def rademacher(like: Tensor, count: int, seed: int) -> Tensor:
    """Vectors of signs `[N, count, P]` for a tensor `[N, P]`: the same ones for each member."""
    drawn = torch.randint(2, (count, like.shape[1]), generator=generator("rademacher probes", seed))
    return (2 * drawn - 1).to(like).expand(like.shape[0], -1, -1)
