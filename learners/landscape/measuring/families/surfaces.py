"""Loss surfaces of models along one direction and two, a row a place."""

import torch
from torch import Tensor

from learners.landscape.measuring.differentiable import differentiable
from learners.landscape.measuring.group import Columns, Found, Group, found
from learners.landscape.measuring.metrics import Settings
from learners.landscape.surfaces.directions import (
    Directions,
    adam_directions,
    hessian_directions,
    random_directions,
)
from learners.landscape.surfaces.normalised import normalised
from learners.landscape.surfaces.surface import loss_on_grid
from zoo.population import Samples


@differentiable
def lines(group: Group, settings: Settings) -> Columns:
    """The loss at places along one direction, from -span to span."""
    values, errors, places, samples = _surface(group, settings, 1)
    return {
        "loss_line": [
            [found(value, error, samples, x=x) for value, error, x in zip(row, spread, places, strict=True)]
            for row, spread in zip(values, errors, strict=True)
        ]
    }


@differentiable
def squares(group: Group, settings: Settings) -> Columns:
    """The loss at places along two directions."""
    values, errors, places, samples = _surface(group, settings, 2)

    def grid(surface: Tensor, spread: Tensor) -> list[Found]:
        return [
            found(surface[i, j], spread[i, j], samples, x=x, y=y)
            for i, x in enumerate(places)
            for j, y in enumerate(places)
        ]

    return {"loss_surface": [grid(*both) for both in zip(values, errors, strict=True)]}


def _surface(group: Group, settings: Settings, axes: int) -> tuple[Tensor, Tensor, list[float], int]:
    samples, span = group.drawn(int(settings["samples"])), float(settings["span"])
    parameters = {name: group.weights[name] for name in group.parameter_names}
    directions = [
        normalised(direction, parameters, str(settings["normalisation"]))
        for direction in _directions(group, settings, samples, axes)
    ]
    places = torch.linspace(-span, span, int(settings["points"]), dtype=torch.float64).tolist()
    values, errors = loss_on_grid(group.module, group.weights, directions, places, samples)
    return values, errors, [round(place, 9) for place in places], samples.y.numel()


def _directions(group: Group, settings: Settings, samples: Samples, axes: int) -> Directions:
    kind, names = settings["direction"], group.parameter_names
    if kind == "random":
        return random_directions({name: group.weights[name] for name in names}, axes, group.seed)
    if kind == "adam":
        sizes = (int(settings["batch_size"]), int(settings["steps"]))
        return adam_directions(group.module, group.weights, names, samples, axes, *sizes, seed=group.seed)
    return hessian_directions(
        group.module, group.weights, names, samples, axes, int(settings["steps"]), seed=group.seed
    )
