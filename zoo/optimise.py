"""Optimisers for a whole population: weights are a matrix, a row a member, settings a column vector."""

from math import sqrt
from typing import Protocol

import torch
from torch import Tensor


class Optimiser(Protocol):
    """Keeps what it remembers from step to step; a row never depends on another row."""

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, weight_decay: Tensor) -> Tensor:
        """Give the next weights `[N, parameters]`; the settings are columns `[N, 1]`."""


class SGD:
    """Stochastic gradient descent with momentum and coupled weight decay, as `torch.optim.SGD`.

    g = gradient + decay * w;   m = momentum * m + g;   w = w - rate * m
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.velocity: Tensor | None = None

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, weight_decay: Tensor) -> Tensor:
        """Give the next weights `[N, parameters]`; the settings are columns `[N, 1]`."""
        gradient = gradient + weight_decay * weights
        if self.velocity is None:
            self.velocity = gradient
        else:
            self.velocity = self.momentum * self.velocity + gradient
        return weights - learning_rate * self.velocity


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`.

    m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2
    w = (1 - rate * decay) w - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8)
    """

    def __init__(self, first: float = 0.9, second: float = 0.999) -> None:
        self.first, self.second = first, second
        self.steps = 0
        self.mean: Tensor | None = None
        self.square: Tensor | None = None

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, weight_decay: Tensor) -> Tensor:
        """Give the next weights `[N, parameters]`; the settings are columns `[N, 1]`."""
        if self.mean is None or self.square is None:
            self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)
        self.steps += 1
        self.mean = torch.lerp(self.mean, gradient, 1 - self.first)
        self.square = self.second * self.square + (1 - self.second) * gradient * gradient
        rate = learning_rate / (1 - self.first**self.steps)
        spread = self.square.sqrt() / sqrt(1 - self.second**self.steps) + 1e-8
        return (1 - learning_rate * weight_decay) * weights - rate * self.mean / spread


class Adam(AdamW):
    """Adam with coupled weight decay (Kingma and Ba, 2015), as `torch.optim.Adam`."""

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, weight_decay: Tensor) -> Tensor:
        """Give the next weights `[N, parameters]`; the settings are columns `[N, 1]`."""
        none = torch.zeros_like(weight_decay)
        return super().step(weights, gradient + weight_decay * weights, learning_rate, none)


OPTIMIZERS = ("adam", "adamw", "sgd")


def optimiser(name: str, momentum: float) -> Optimiser:
    """Make an optimiser by its name in a recipe; `momentum` is that of `sgd`."""
    return SGD(momentum) if name == "sgd" else {"adam": Adam, "adamw": AdamW}[name]()
