"""A multilayer perceptron of some hidden layers."""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from zoo.architectures.activations import activation_named


class MLP(nn.Module):
    """`depth` hidden layers of `width` units each, with ReLU unless told otherwise; a sample is flattened first."""

    def __init__(
        self, input_shape: tuple[int, ...], classes: int, width: int, *, depth: int = 2, activation: str = "relu"
    ) -> None:
        super().__init__()
        sizes = [prod(input_shape), *[width] * depth, classes]
        for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            self.add_module(f"linear{number}", nn.Linear(inputs, outputs))
        self.activation = activation_named(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map samples `[n, ...]` to logits `[n, classes]`."""
        *hidden_layers, last = self.children()
        hidden = x.flatten(1)
        for layer in hidden_layers:
            hidden = self.activation(layer(hidden))
        logits: Tensor = last(hidden)
        return logits
