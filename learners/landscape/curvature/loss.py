"""The loss whose curvature is measured: each member's mean over samples, differentiable twice."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import vmap

from zoo.objective import Objective
from zoo.population import Samples, forward, losses

LossSum = Callable[[Mapping[str, Tensor], Samples], Tensor]
"""Each member's loss summed over the predictions of some samples, `[N]`; it can be differentiated twice."""


def cross_entropy_sum(module: nn.Module) -> LossSum:
    """Cross-entropy in nats of an image's class or of each next token, as training has it without augmentation.

    `module` is a skeleton in evaluation mode: layers normalise with their running statistics, nothing is dropped.
    """

    def total(population: Mapping[str, Tensor], samples: Samples) -> Tensor:
        return losses(forward(module, population, samples.x), samples.y).flatten(1).sum(dim=1)

    return total


def physics_loss_sum(module: nn.Module, objective: Objective) -> LossSum:
    """The loss of members with an objective of their own each, such as the equation of a physics-informed network."""

    def total(population: Mapping[str, Tensor], samples: Samples) -> Tensor:
        def one(weights: Mapping[str, Tensor], coefficient: Tensor) -> Tensor:
            return objective.one(module, weights, coefficient, samples.x, samples.y)[0]

        coefficients = torch.tensor(objective.coefficients, dtype=samples.x.dtype, device=samples.x.device)
        each: Tensor = vmap(one)(dict(population), coefficients)
        return each * len(samples)

    return total
