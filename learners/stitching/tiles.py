"""Divides a matrix of pairs, of which some may be known, into tiles that fit into memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """Some fronts and some ends, each of them with each."""

    fronts: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """How many pairs it has."""
        return len(self.fronts) * len(self.ends)


def tiles(wanted: Mapping[int, Collection[int]], fits: Callable[[Tile], bool]) -> list[Tile]:
    """Cover the wanted pairs with tiles, each pair once and no other one.

    Ends that want the same fronts go together. A tile that does not fit is halved at its longer side until it does,
    or is a single pair.

    >>> tiles({0: [0, 1, 2], 1: [0, 1, 2], 2: [2]}, lambda tile: tile.pairs <= 4)
    [Tile(fronts=(0,), ends=(0, 1)), Tile(fronts=(1, 2), ends=(0, 1)), Tile(fronts=(2,), ends=(2,))]

    Args:
        wanted: For each end the fronts.
        fits: Whether a tile fits.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for end, fronts in wanted.items():
        if fronts:
            alike.setdefault(tuple(sorted(fronts)), []).append(end)
    return [part for fronts, ends in alike.items() for part in _halved(Tile(fronts, tuple(ends)), fits)]


def _halved(tile: Tile, fits: Callable[[Tile], bool]) -> list[Tile]:
    if tile.pairs == 1 or fits(tile):
        return [tile]
    if len(tile.fronts) >= len(tile.ends):
        halves = [Tile(fronts, tile.ends) for fronts in _half(tile.fronts)]
    else:
        halves = [Tile(tile.fronts, ends) for ends in _half(tile.ends)]
    return [part for half in halves for part in _halved(half, fits)]


def _half(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    middle = len(numbers) // 2
    return [tuple(numbers[:middle]), tuple(numbers[middle:])]
