"""Estimates what a recipe costs before anything is trained: parameters, and arithmetic in all."""

from dataclasses import dataclass

from zoo.arithmetic import of_one, passes
from zoo.datasets import facts
from zoo.recipe import Recipe

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
        parameters, forward = of_one(group.architecture, shape, classes, group.width, group.depth)
        sizes.append(parameters)
        operations += forward * samples * passes(group) * group.data_fraction * group.epochs * len(group.members)
    return Cost(min(sizes), max(sizes), operations / PETA)
