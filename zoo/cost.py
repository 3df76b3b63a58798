"""Estimates what a recipe costs before anything is trained: parameters, and arithmetic in all."""

from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.architectures import SAMPLES, skeleton
from zoo.architectures.pinn import POINT
from zoo.datasets import facts
from zoo.group import Group
from zoo.recipe import Recipe

PASSES = 3
"""A step is a forward pass and a backward one, which costs two."""
PHYSICS = 6
"""Passes of a physics loss through its network: four values, and the gradient of one."""
TERA, PETA, HOUR = 1e12, 1e15, 3600


@dataclass(frozen=True)
class Cost:
    """What building a population costs."""

    smallest: int
    """Parameters of its smallest member."""
    largest: int
    """Parameters of its largest member."""
    petaflop: float
    """Floating point operations of all training steps, in 10^15; measuring is not counted."""

    @property
    def parameters(self) -> str:
        """Parameters of the smallest and the largest member."""
        alike = self.smallest == self.largest
        return f"{self.smallest:,}" if alike else f"{self.smallest:,} to {self.largest:,}"

    @property
    def hours(self) -> float:
        """Hours on a device that does 10^12 of these operations a second."""
        return self.petaflop * PETA / TERA / HOUR


def cost(recipe: Recipe) -> Cost | None:
    """Estimate a recipe's cost; None if its dataset is a file, of which nothing is known before it is read."""
    known = facts(recipe.dataset)
    if known is None:
        return None
    shape, classes, samples = known
    sizes, operations = [], 0.0
    for group in recipe.groups():
        parameters, forward = _of_one(group.architecture, shape, classes, group.width, group.depth)
        sizes.append(parameters)
        operations += forward * samples * passes(group) * group.data_fraction * group.epochs * len(group.members)
    return Cost(min(sizes), max(sizes), operations / PETA)


def passes(group: Group) -> int:
    """Times that the forward pass of a sample is paid for in a step."""
    return PASSES * (PHYSICS if group.architecture == "pinn" else 1)


def forward_flop(group: Group, shape: tuple[int, ...], classes: int) -> int:
    """Floating point operations of one sample's forward pass through one member."""
    return _of_one(group.architecture, shape, classes, group.width, group.depth)[1]


@cache
def _of_one(architecture: str, shape: tuple[int, ...], classes: int, width: int, depth: int | None) -> tuple[int, int]:
    """Parameters of a model, and operations of its forward pass on one sample."""
    module = skeleton(architecture, shape, classes, width, depth=depth)
    kind = SAMPLES.get(architecture, ("images", 3))[0]
    points = (POINT,) if kind == "points" else shape
    x = torch.zeros((1, *points), dtype=torch.int64 if kind == "tokens" else torch.float32, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops()
