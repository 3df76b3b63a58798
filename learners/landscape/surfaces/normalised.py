"""Scales directions to the weights that they start from, so that surfaces of different models can be compared."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoo.population import Weights, flatten

Norm = Callable[[Tensor], Tensor]


def normalised(direction: Mapping[str, Tensor], parameters: Mapping[str, Tensor], by: str) -> Weights:
    """Scale a direction of each model.

    Args:
        direction: `[N, ...]` by name.
        parameters: Where it starts, of the same shapes.
        by: `none`: as it is; `weight`: each entry times the size of its weight; `layer`: each tensor as long as that of
            the model; `model`: all together as long as the model; `filter`: each row of a tensor, which is a unit's or
            a filter's, as long as that of the model, and biases and scales as one row.

    Source:
        Li et al. 2018, "Visualizing the loss landscape of neural nets", section 4. Their code leaves biases out.
    """
    if by == "model":
        scale = _ratio(flatten(parameters), flatten(direction), slice(1, None))
        return {name: tensor * scale.view(-1, *[1] * (tensor.ndim - 1)) for name, tensor in direction.items()}
    return {name: _scaled(tensor, parameters[name], by) for name, tensor in direction.items()}


def _scaled(direction: Tensor, weights: Tensor, by: str) -> Tensor:
    if by == "none":
        return direction
    if by == "weight":
        return direction * weights.abs()
    first = 2 if by == "filter" and direction.ndim > 2 else 1
    return direction * _ratio(weights, direction, slice(first, None))


def _ratio(weights: Tensor, direction: Tensor, axes: slice) -> Tensor:
    """Length of the weights over that of the direction, along some axes, which stay; 0 where the direction is zero."""
    over = tuple(range(weights.ndim))[axes] or (weights.ndim - 1,)
    if weights.ndim == 1:
        return torch.where(direction != 0, weights.abs() / direction.abs(), 0.0)
    lengths = [torch.linalg.vector_norm(tensor, dim=over, keepdim=True) for tensor in (weights, direction)]
    return torch.where(lengths[1] > 0, lengths[0] / lengths[1], 0.0)
