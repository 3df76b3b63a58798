"""One member after the other in plain PyTorch: the reference that every other backend equals."""

from typing import ClassVar

import torch
from torch import Tensor

from zoo.backends.stacked import Stacked
from zoo.population import Weights, member, unflatten


class Sequential(Stacked):
    """Runs each member's module by itself, forward and backward."""

    name: ClassVar[str] = "sequential"

    def gradient(
        self, weights: Tensor, buffers: Weights, coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `Stacked.gradient`."""
        gradients, losses, scores = [], [], []
        for index in range(len(weights)):
            parameters = {name: t[0].requires_grad_() for name, t in unflatten(weights[[index]], self.shapes).items()}
            state = parameters | member(buffers, index)
            with self.smaller():
                loss, score = self.objective.one(self.assignment.learner, state, coefficient[index], x[index], y[index])
            gradient = torch.autograd.grad(loss, list(parameters.values()))
            gradients.append(torch.cat([part.flatten() for part in gradient]))
            losses.append(loss.detach())
            scores.append(score)
        return torch.stack(gradients), torch.stack(losses), torch.stack(scores)
