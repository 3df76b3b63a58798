"""Joins ranges of bytes that are asked for into fewer and larger ones."""

from collections.abc import Sequence
from itertools import pairwise

WASTE = 0.05
"""Bytes that may be read beside those asked for, as a share of them, where that saves a request."""
LARGEST = 32 * 2**20
"""Bytes of one request."""

Range = tuple[int, int]
"""Half-open: [begin, end)."""


def joined(ranges: Sequence[Range], waste: float = WASTE, largest: int = LARGEST) -> list[Range]:
    """Join ranges that touch or overlap, and those with the smallest gaps as long as little is read in vain.

    The result covers all that is asked for, in rising order, in pieces of at most `largest` bytes.

    >>> joined([(0, 100), (100, 200), (205, 300), (900, 1000)])
    [(0, 300), (900, 1000)]
    """
    solid = _touching(ranges)
    budget = waste * sum(end - begin for begin, end in solid)
    gaps = sorted((after[0] - before[1], index) for index, (before, after) in enumerate(pairwise(solid)))
    bridged = set()
    for gap, index in gaps:
        budget -= gap
        if budget < 0:
            break
        bridged.add(index)
    return [piece for whole in _bridged(solid, bridged) for piece in _cut(whole, largest)]


def _touching(ranges: Sequence[Range]) -> list[Range]:
    found: list[Range] = []
    for begin, end in sorted(ranges):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif begin < end:
            found.append((begin, end))
    return found


def _bridged(solid: Sequence[Range], bridged: set[int]) -> list[Range]:
    found: list[Range] = []
    for index, (begin, end) in enumerate(solid):
        if index - 1 in bridged:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def _cut(whole: Range, largest: int) -> list[Range]:
    begin, end = whole
    return [(first, min(first + largest, end)) for first in range(begin, end, largest)]
