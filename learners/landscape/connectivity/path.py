"""Loss and error at points of a path between two models each, statistics of normalising layers estimated anew."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.population import Samples, Weights, evaluate, forward

POINTS = 21
SAMPLES_AT_ONCE = 512

Path = Callable[[float], Weights]
"""Parameters of all pairs at a place from 0 to 1, `[pairs, ...]` by name."""


@dataclass(frozen=True)
class Profile:
    """What a path goes through, float64.

    Attributes:
        places: From 0 to 1, `[T]`.
        loss: Mean loss in nats, `[pairs, T]`.
        error: Share of wrong predictions in percentage points, `[pairs, T]`.
    """

    places: Tensor
    loss: Tensor
    error: Tensor

    @property
    def connectivity(self) -> Tensor:
        """Mean of the ends' error minus the path's where that deviates most, percentage points `[pairs]`.

        Negative is a barrier.

        Source:
            Yang et al. 2021, "Taxonomizing local versus global structure in neural network loss landscapes", eq. (3).
        """
        deviation = (self.error[:, :1] + self.error[:, -1:]) / 2 - self.error
        return deviation.gather(1, deviation.abs().argmax(dim=1, keepdim=True)).squeeze(1)

    @property
    def barrier(self) -> Tensor:
        """How far the error rises above the straight line between the ends' errors, in percentage points, `[pairs]`.

        Source:
            Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis".
        """
        between = self.error[:, :1] + (self.error[:, -1:] - self.error[:, :1]) * self.places
        return (self.error - between).max(dim=1).values

    @property
    def peak(self) -> Tensor:
        """The place at which the error is largest, `[pairs]`."""
        return self.places[self.error.argmax(dim=1)]


def profile(
    module: nn.Module, path: Path, buffers: Mapping[str, Tensor], samples: Samples, points: int = POINTS
) -> Profile:
    """Follow paths of many pairs at once.

    Args:
        module: How to compute; a skeleton in evaluation mode.
        path: The paths.
        buffers: Other tensors of the networks, `[pairs, ...]`; running statistics are estimated anew at each place.
        samples: What loss and error are measured on.
        points: Places.
    """
    places = torch.linspace(0, 1, points, dtype=torch.float64)
    scores = []
    for place in places.tolist():
        weights = path(place) | re_estimated(module, path(place), buffers, samples)
        scores.append(evaluate(module, weights, samples))
    loss = torch.stack([score.loss for score in scores], dim=1)
    error = 100 * (1 - torch.stack([score.accuracy for score in scores], dim=1))
    return Profile(places.to(loss.device), loss, error)


def re_estimated(
    module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], samples: Samples
) -> Weights:
    """Buffers with running means and variances of batch normalisation as these parameters have them on the samples."""
    fresh = {name: tensor.clone() for name, tensor in buffers.items()}
    learner = batch_statistics(module)
    layers = [layer for layer in learner.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        return fresh
    seen = 0
    with torch.no_grad():
        for x in torch.split(samples.x, SAMPLES_AT_ONCE):
            seen += len(x)
            for layer in layers:
                layer.momentum = len(x) / seen  # so that running values are means over all that was seen
            forward(learner, {**parameters, **fresh}, x)
    return fresh


def batch_statistics(module: nn.Module) -> nn.Module:
    """A copy whose layers of batch normalisation use and note the statistics of each batch, and nothing is dropped."""
    learner = deepcopy(module).eval()
    for layer in learner.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
    return learner
