"""The stitch space: every network that can be put together from a family of anchors, as paths through their blocks.

Source: Pan, Cai and Zhuang, "Stitchable Neural Networks" (2023), and its second version (2023) for ways back and
for two hops. With three anchors of 12 blocks, kernel 2 and stride 1 there are 34 stitches a pair and 71 paths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.errors import UsageError

DIRECTIONS = ("up", "down", "both")
PARTNERS = ("nearest", "all")


@dataclass(frozen=True)
class Hop:
    """From a cut of one anchor to a cut of another; hops of one window share a joint."""

    front: int
    end: int
    front_cut: int
    end_cut: int
    window: int


@dataclass(frozen=True)
class Stitch:
    """A path through the anchors: an anchor alone, or hops from one to the next."""

    anchors: tuple[int, ...]
    hops: tuple[Hop, ...] = ()

    @property
    def legs(self) -> list[tuple[int, int | None, int | None]]:
        """Anchor, first cut and last cut of each part of the way; None is the samples or the outputs."""
        starts = [None, *(hop.end_cut for hop in self.hops)]
        stops = [*(hop.front_cut for hop in self.hops), None]
        return list(zip(self.anchors, starts, stops, strict=True))

    def __str__(self) -> str:
        places = [str(self.anchors[0]), *(f"{hop.front_cut}>{hop.end}:{hop.end_cut}" for hop in self.hops)]
        return ":".join(places[:1]) + "".join(f"@{place}" for place in places[1:])


@dataclass(frozen=True)
class SpaceSettings:
    """Which paths there are. Anchors are ordered from the fastest to the slowest."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - how recipes are read: a field of no such name is a mistake

    kernel: int = 2
    """Blocks of a window, for anchors of equal depth."""
    stride: int = 1
    """Blocks from one window to the next."""
    direction: str = "up"
    """From a faster anchor to a slower one (up), back (down), or both."""
    partners: str = "nearest"
    """Only anchors that are next to each other, or all pairs."""
    hops: int = 1
    """Most hops of a path, 1 or 2."""

    def check(self) -> None:
        """Raise UsageError if a value cannot be."""
        for name, value, choices in (("direction", self.direction, DIRECTIONS), ("partners", self.partners, PARTNERS)):
            if value not in choices:
                raise UsageError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
        for name, number, most in (
            ("kernel", self.kernel, 1000),
            ("stride", self.stride, 1000),
            ("hops", self.hops, 2),
        ):
            if not 1 <= number <= most:
                raise UsageError(f"{name} = {number}: expected a whole number from 1 to {most}")


def stitches(depths: Sequence[int], settings: SpaceSettings) -> list[Stitch]:
    """List every path: the anchors, those of one hop pair by pair, and those of two.

    Args:
        depths: Blocks of each anchor, from the fastest to the slowest.
        settings: Which paths there are.

    Raises:
        UsageError: A setting cannot be.
    """
    settings.check()
    pairs = list(_pairs(len(depths), settings))
    hops = {pair: _hops(*pair, depths, settings) for pair in pairs}
    paths = [Stitch((anchor,)) for anchor in range(len(depths))]
    paths += [Stitch(pair, (hop,)) for pair in pairs for hop in hops[pair]]
    if settings.hops == 2:
        paths += [
            Stitch((*pair, last), (first, second))
            for pair in pairs
            for middle, last in pairs
            if middle == pair[1]
            for first in hops[pair]
            for second in hops[middle, last]
            if second.front_cut > first.end_cut
        ]
    return paths


def _pairs(anchors: int, settings: SpaceSettings) -> Iterator[tuple[int, int]]:
    for front in range(anchors):
        for end in range(anchors):
            way = "up" if end > front else "down"
            near = abs(front - end) == 1 or settings.partners == "all"
            if front != end and near and settings.direction in (way, "both"):
                yield front, end


def _hops(front: int, end: int, depths: Sequence[int], settings: SpaceSettings) -> list[Hop]:
    if depths[front] == depths[end]:
        found = _paired(depths[front], settings.kernel, settings.stride)
    else:
        found = _unpaired(depths[front], depths[end])
    return [Hop(front, end, *place) for place in found]


def _paired(depth: int, kernel: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Behind any block of a window of the front, and before any block of the same window of the end."""
    seen: set[tuple[int, int]] = set()
    window = 0
    for begin in range(0, depth, stride):
        blocks = range(begin, min(begin + kernel, depth))
        new = [(front, end) for front in blocks for end in blocks if (front, end) not in seen]
        seen |= set(new)
        for front, end in new:
            yield front + 1, end, window
        window += bool(new)


def _unpaired(front_depth: int, end_depth: int) -> Iterator[tuple[int, int, int]]:
    """For each block of the deeper one the block of the other at the same share of the depth, which has the joint."""
    if front_depth < end_depth:
        for block in range(1, end_depth):
            other = block * front_depth // end_depth
            yield other + 1, block, other
    else:
        for block in range(front_depth - 1):
            other = block * end_depth // front_depth
            yield block + 1, other + 1, other
