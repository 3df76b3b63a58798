"""Counts the arithmetic of a network: parameters, and floating point operations of a pass and of a step."""

from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.architectures import SAMPLES, skeleton
from zoo.architectures.pinn import POINT
from zoo.group import Group

PASSES = 3
"""A step is a forward pass and a backward one, which costs two."""
PHYSICS = 6
"""Passes of a physics loss through its network: four values, and the gradient of one."""


def passes(group: Group) -> int:
    """Times that the forward pass of a sample is paid for in a step."""
    return PASSES * (PHYSICS if group.architecture == "pinn" else 1)


def forward_flop(group: Group, shape: tuple[int, ...], classes: int) -> int:
    """Floating point operations of one sample's forward pass through one member."""
    return of_one(group.architecture, shape, classes, group.width, group.depth)[1]


@cache
def of_one(architecture: str, shape: tuple[int, ...], classes: int, width: int, depth: int | None) -> tuple[int, int]:
    """Parameters of a model, and operations of its forward pass on one sample."""
    module = skeleton(architecture, shape, classes, width, depth=depth)
    kind = SAMPLES.get(architecture, ("images", 3))[0]
    points = (POINT,) if kind == "points" else shape
    x = torch.zeros((1, *points), dtype=torch.int64 if kind == "tokens" else torch.float32, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops()
