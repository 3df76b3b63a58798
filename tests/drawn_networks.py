"""A stack of networks with random weights, for tests that want no training."""

import torch
from torch import nn

from zoo.population import Weights, stack


def drawn_networks(module: nn.Module, divisor: int) -> Weights:
    """Three networks of a module's shapes in float64; the same ones each time."""
    source = torch.Generator().manual_seed(4)
    shapes = {name: tensor.shape for name, tensor in module.named_parameters()}
    draw = [
        {name: torch.randn(shape, generator=source, dtype=torch.float64) / divisor for name, shape in shapes.items()}
        for _ in range(3)
    ]
    return stack(draw)
