"""Data that are made, not read: patterns and sequences for trying a recipe out, and the points of an equation."""

from math import pi

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.datasets.dataset import Dataset, Pair, sha256_of
from zoo.population import Samples
from zoo.randomness import generator

SAMPLES = 60
POINTS = {"train": 1000, "validation": 500, "test": 500}
NOISE = 0.15
OFTEN = 0.9


def make_patterns(shape: tuple[int, int, int], classes: int) -> Pair:
    """60 noisy images of this shape, told apart by a pattern for each class; uint8."""
    source = generator("patterns", *shape, classes)
    patterns = torch.rand((classes, *shape), generator=source)
    y = torch.arange(max(SAMPLES, 8 * classes)) % classes
    x = patterns[y] + NOISE * torch.randn((len(y), *shape), generator=source)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).numpy(), y.numpy()


def make_sequence(places: int, classes: int) -> NDArray[np.uint8]:
    """Tokens for 60 samples: each is mostly one more than the one before it, and sometimes any."""
    source = generator("sequence", places, classes)
    length = SAMPLES * places + 1
    steps = torch.where(
        torch.rand(length, generator=source) < OFTEN, 1, torch.randint(0, classes, (length,), generator=source)
    )
    return (steps.cumsum(0) % classes).to(torch.uint8).numpy()


def make_convection(name: str, split_seed: int) -> Dataset:
    """Random places (x, t, x0, t0) for `zoo.objective.Convection`: 1,000 for training, 500 each for the others.

    x and x0 go from 0 to 2 pi, t and t0 from 0 to 1; classes are all 0 and mean nothing.
    """
    source = generator("convection", split_seed)
    scale = torch.tensor([2 * pi, 1.0, 2 * pi, 1.0])
    train, validation, test = (
        Samples(torch.rand(count, 4, generator=source) * scale, torch.zeros(count, dtype=torch.int64))
        for count in POINTS.values()
    )
    return Dataset(name, split_seed, 1, train, validation, test, sha256_of([train, validation, test]))
