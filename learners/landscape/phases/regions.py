"""Regions: cells of one phase that touch each other."""

import numpy as np
from numpy.typing import NDArray

from learners.landscape.phases.grid import Grid
from learners.landscape.phases.tree import Texts

SIDES = [(-1, 0), (0, -1), (0, 1), (1, 0)]
CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]


def regions(grid: Grid, phase: Texts, corners: bool = True) -> NDArray[np.int64]:
    """Number the regions: for each cell `[cells]` the region that it belongs to, from 0, largest first.

    Cells touch where they share a side, and with `corners` also where they share a corner (the 4- and the
    8-neighbourhood). Cells that are nobody's neighbours are regions of their own.
    """
    neighbours = SIDES + CORNERS if corners else SIDES
    region = np.full(len(phase), -1)
    place = {int(cell): (int(i), int(j)) for (i, j), cell in np.ndenumerate(grid.cell) if cell >= 0}
    found = 0
    for begin in grid.cell[grid.cell >= 0].tolist():
        if region[begin] < 0:
            _fill(grid, place, phase, region, begin, found, neighbours)
            found += 1
    sizes = np.bincount(region[region >= 0], minlength=found)
    rank = np.empty(found, dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(found)
    ranked: NDArray[np.int64] = rank[region]
    return ranked


def _fill(
    grid: Grid,
    place: dict[int, tuple[int, int]],
    phase: Texts,
    region: NDArray[np.int64],
    begin: int,
    number: int,
    neighbours: list[tuple[int, int]],
) -> None:
    waiting = [begin]
    region[begin] = number
    while waiting:
        i, j = place[waiting.pop()]
        for down, right in neighbours:
            if 0 <= i + down < grid.cell.shape[0] and 0 <= j + right < grid.cell.shape[1]:
                other = int(grid.cell[i + down, j + right])
                if other >= 0 and region[other] < 0 and phase[other] == phase[begin]:
                    region[other] = number
                    waiting.append(other)
