"""The loss of many models on a grid along one or two directions."""

from collections.abc import Mapping, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from zoo.population import Samples, forward, losses, samples_at_once, size


@torch.no_grad()
def loss_on_grid(
    module: nn.Module,
    population: Mapping[str, Tensor],
    directions: Sequence[Mapping[str, Tensor]],
    places: Sequence[float],
    samples: Samples,
) -> tuple[Tensor, Tensor]:
    """Mean loss at weights + x first direction (+ y second direction), and its standard error over the samples.

    Running statistics of normalising layers stay those of the models.

    Args:
        module: How to compute; a skeleton in evaluation mode.
        population: Weights `[N, ...]`, buffers included.
        directions: One or two, parameters `[N, ...]` by name.
        places: Values of x, and of y.
        samples: What the loss is measured on; a text is one sample.

    Returns:
        Two tensors `[N, places]` or `[N, places, places]` (x, then y), float64, nats.
    """
    found = [
        _loss(module, _moved(population, directions, steps), samples)
        for steps in product(places, repeat=len(directions))
    ]
    shape = (size(population), *[len(places)] * len(directions))
    values, errors = (torch.stack([each[part] for each in found], dim=1).reshape(shape) for part in (0, 1))
    return values, errors


def _moved(
    population: Mapping[str, Tensor], directions: Sequence[Mapping[str, Tensor]], steps: Sequence[float]
) -> dict[str, Tensor]:
    moved = dict(population)
    for direction, step in zip(directions, steps, strict=True):
        moved |= {name: moved[name] + step * tensor for name, tensor in direction.items()}
    return moved


def _loss(module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> tuple[Tensor, Tensor]:
    count = size(population)
    chunk = samples_at_once(module, population, samples.x)
    pieces = [torch.split(part, chunk) for part in (samples.x, samples.y)]
    each = [
        losses(forward(module, population, x), y).double().reshape(count, len(y), -1).mean(dim=2)
        for x, y in zip(*pieces, strict=True)
    ]
    values = torch.cat(each, dim=1)
    return values.mean(dim=1), values.std(dim=1) / values.shape[1] ** 0.5
