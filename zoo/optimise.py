"""Optimisers for a whole population: weights are a matrix, a row a member, settings a column vector.

They keep nothing themselves. What they remember from step to step are matrices of the weights' shape,
zero before the first step, which are handed in and given back: so a step can be compiled, recorded,
interrupted and gone on with.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

Memory = tuple[Tensor, ...]


class Optimiser(Protocol):
    """Gives the next weights; a row never depends on another row."""

    memories: int
    """Number of matrices that it remembers."""

    def corrections(self, step: int) -> tuple[float, float]:
        """What hangs on the number of the step, from 0, alone."""

    def step(
        self, weights: Tensor, gradient: Tensor, memory: Memory, rate: Tensor, decay: Tensor, corrections: Tensor
    ) -> tuple[Tensor, Memory]:
        """Give the next weights and memory, `[N, parameters]`.

        Args:
            weights: `[N, parameters]`.
            gradient: Of the same shape.
            memory: What the last step gave.
            rate: Learning rate of each member in this step, `[N, 1]`.
            decay: Weight decay of each member, `[N, 1]`.
            corrections: What `corrections` says for this step, `[2]`.
        """


class SGD:
    """Stochastic gradient descent with momentum and coupled weight decay, as `torch.optim.SGD`.

    g = gradient + decay * w;   m = momentum * m + g;   w = w - rate * m
    """

    memories = 1

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum

    def corrections(self, step: int) -> tuple[float, float]:
        """As `Optimiser.corrections`: nothing hangs on the step."""
        return 1.0, 1.0

    def step(
        self, weights: Tensor, gradient: Tensor, memory: Memory, rate: Tensor, decay: Tensor, corrections: Tensor
    ) -> tuple[Tensor, Memory]:
        """As `Optimiser.step`."""
        velocity = self.momentum * memory[0] + (gradient + decay * weights)
        return weights - rate * velocity, (velocity,)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`.

    m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2
    w = (1 - rate * decay) w - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8)
    """

    memories = 2

    def __init__(self, first: float = 0.9, second: float = 0.999) -> None:
        self.first, self.second = first, second

    def corrections(self, step: int) -> tuple[float, float]:
        """1 - b1^t and 1 - b2^t of the t-th step, as `Optimiser.corrections`."""
        return 1 - self.first ** (step + 1), 1 - self.second ** (step + 1)

    def step(
        self, weights: Tensor, gradient: Tensor, memory: Memory, rate: Tensor, decay: Tensor, corrections: Tensor
    ) -> tuple[Tensor, Memory]:
        """As `Optimiser.step`."""
        mean = torch.lerp(memory[0], gradient, 1 - self.first)
        square = self.second * memory[1] + (1 - self.second) * gradient * gradient
        spread = square.sqrt() / corrections[1].sqrt() + 1e-8
        moved = (1 - rate * decay) * weights - rate / corrections[0] * mean / spread
        return moved, (mean, square)


class Adam(AdamW):
    """Adam with coupled weight decay (Kingma and Ba, 2015), as `torch.optim.Adam`."""

    def step(
        self, weights: Tensor, gradient: Tensor, memory: Memory, rate: Tensor, decay: Tensor, corrections: Tensor
    ) -> tuple[Tensor, Memory]:
        """As `Optimiser.step`."""
        coupled = gradient + decay * weights
        return super().step(weights, coupled, memory, rate, torch.zeros_like(decay), corrections)


OPTIMIZERS = ("adam", "adamw", "sgd")


def optimiser(name: str, momentum: float) -> Optimiser:
    """Make an optimiser by its name in a recipe; `momentum` is that of `sgd`."""
    return SGD(momentum) if name == "sgd" else {"adam": Adam, "adamw": AdamW}[name]()


def fresh(memories: int, like: Tensor) -> Memory:
    """What an optimiser remembers before the first step."""
    return tuple(torch.zeros_like(like) for _ in range(memories))


def columns(values: Sequence[float], like: Tensor) -> Tensor:
    """A setting of each member as a column `[N, 1]`, in the type and on the device of `like`."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)
