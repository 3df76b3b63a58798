"""The network of a physics-informed neural network: a perceptron from place and time to the solution."""

from itertools import pairwise

import torch
from torch import Tensor, nn

POINT = 2
"""Coordinates of a point: x and t."""


class PINN(nn.Module):
    """`depth` hidden layers of `width` units with tanh, from (x, t) to u, as Krishnapriyan et al. (2021) use it."""

    def __init__(self, input_shape: tuple[int, ...], classes: int, width: int, *, depth: int = 4) -> None:
        super().__init__()
        sizes = [POINT, *[width] * depth, classes]
        for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            self.add_module(f"linear{number}", nn.Linear(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map points `[n, 2]` to the solution there `[n, classes]`; `classes` is 1 for one equation."""
        *hidden_layers, last = self.children()
        for layer in hidden_layers:
            x = torch.tanh(layer(x))
        solution: Tensor = last(x)
        return solution
