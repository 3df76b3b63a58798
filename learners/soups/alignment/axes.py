"""Which dimensions of a network's tensors index the same units: a union of axes that can be split into factors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod


@dataclass(eq=False)
class Axis:
    """A factor of a dimension: `size` units, in one order wherever the axis is found.

    Attributes:
        size: Number of units.
        fixed: Whether something depends on their order (a pixel's place, a class), so that it must not change.
        same: The axis that this one was found to be the same as.
        parts: The factors into which it was split, outermost first.
        samples: Whether it counts samples, of which there may be any number.
    """

    size: int
    fixed: bool = False
    same: "Axis | None" = None
    parts: list["Axis"] = field(default_factory=list)
    samples: bool = False

    def root(self) -> "Axis":
        """The axis that stands for all that are the same."""
        axis = self
        while axis.same is not None:
            axis = axis.same
        return axis


Dimension = list[Axis]
"""One dimension of a tensor: its factors, outermost first; none where it has a single place."""


def leaves(dimension: Sequence[Axis]) -> list[Axis]:
    """The smallest known factors of a dimension, those of one unit left out."""
    found: list[Axis] = []
    for axis in dimension:
        root = axis.root()
        if root.parts:
            found += leaves(root.parts)
        elif root.size > 1:
            found.append(root)
    return found


def size(dimension: Sequence[Axis]) -> int:
    """Number of places of a dimension."""
    return prod(axis.root().size for axis in dimension)


def split(axis: Axis, sizes: Sequence[int]) -> None:
    """Split a leaf into factors of these sizes, outermost first."""
    axis.parts = [Axis(part, axis.fixed) for part in sizes]


def fix(dimension: Sequence[Axis]) -> None:
    """Forbid that a dimension's order is changed."""
    for axis in leaves(dimension):
        axis.fixed = True


def unify(first: Sequence[Axis], second: Sequence[Axis]) -> None:
    """Note that two dimensions of one size index the same units.

    Where one of them is known to consist of factors, the other one is split into them. Where their factors do not
    fit into each other (3 x 4 and 2 x 6), the order of both is fixed.
    """
    one, other = leaves(first), leaves(second)
    while one and other:
        a, b = one[0], other[0]
        if a is b:
            one, other = one[1:], other[1:]
        elif a.size == b.size:
            a.fixed, a.samples = a.fixed or b.fixed, a.samples or b.samples
            b.same = a
            one, other = one[1:], other[1:]
        else:
            larger, smaller = (a, b) if a.size > b.size else (b, a)
            if larger.size % smaller.size:
                fix([*one, *other])
                return
            split(larger, [smaller.size, larger.size // smaller.size])
            one, other = leaves(one), leaves(other)


def regroup(dimensions: Sequence[Dimension], sizes: Sequence[int]) -> list[Dimension] | None:
    """Cut the factors of a tensor into the dimensions of another shape; None where they do not fit."""
    left = [axis for dimension in dimensions for axis in leaves(dimension)]
    found: list[Dimension] = []
    for wanted in sizes:
        dimension: Dimension = []
        while size(dimension) < wanted:
            if not left:
                return None
            missing = wanted // size(dimension)
            axis = left[0]
            if axis.size > missing:
                if wanted % size(dimension) or axis.size % missing:
                    return None
                split(axis, [missing, axis.size // missing])
                left = leaves(left)
                continue
            dimension.append(left.pop(0))
        if size(dimension) != wanted:
            return None
        found.append(dimension)
    return found if not left else None
