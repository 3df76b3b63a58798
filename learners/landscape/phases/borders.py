"""Borders between phases: metrics interpolated over the logarithmic grid, the rule asked at each point of a mesh."""

import numpy as np
import polars as pl

from learners.landscape.phases.assigning import Judged
from learners.landscape.phases.columns import Values
from learners.landscape.phases.grid import Axis, Grid
from learners.landscape.phases.tree import Texts, phase_of

FINENESS = 24
"""Mesh points from one cell to the next."""


def mesh(judged: Judged, grid: Grid, fineness: int = FINENESS) -> tuple[Values, Values, Texts]:
    """Positions of mesh rows and columns, and the phase at each of their crossings.

    Between cells metrics are interpolated bilinearly over the axes' logarithms, and those with a logarithmic scale by
    their own logarithms, so that the phases of the mesh are those of the cells at the cells' places.
    """
    rows, columns = (_finer(axis.positions, fineness) for axis in (grid.rows, grid.columns))
    values = {
        name: _interpolated(grid, mean, rows, columns, judged.rule.metrics[name].scale == "log")
        for name, mean in judged.cells.means.items()
        if name in judged.rule.metrics
    }
    return rows, columns, phase_of(judged.rule, judged.thresholds, values)


def borders(judged: Judged, grid: Grid, fineness: int = FINENESS) -> pl.DataFrame:
    """The lines between phases as segments: x, y, x2, y2, in positions of the grid's axes.

    They run through the squares of the mesh, from the middle of one side whose ends differ to the middle of the other,
    or of the square where more than two phases meet; from the outermost cells' places straight to their edges.
    """
    rows, columns, phase = mesh(judged, grid, fineness)
    y, x = (_with_edges(*both) for both in ((rows, grid.rows), (columns, grid.columns)))
    names, code = np.unique(phase.astype(str), return_inverse=True)
    corners = np.pad(code.reshape(phase.shape), 1, mode="edge") if len(names) > 1 else np.zeros((1, 1), dtype=np.int64)
    upright, level = corners[:, 1:] != corners[:, :-1], corners[1:] != corners[:-1]
    sides = np.stack([upright[:-1], upright[1:], level[:, :-1], level[:, 1:]], axis=2)
    segments = []
    for i, j in np.argwhere(sides.any(axis=2)).tolist():
        middle = ((x[j] + x[j + 1]) / 2, (y[i] + y[i + 1]) / 2)
        places = [(middle[0], y[i]), (middle[0], y[i + 1]), (x[j], middle[1]), (x[j + 1], middle[1])]
        crossed = [place for place, differs in zip(places, sides[i, j].tolist(), strict=True) if differs]
        pairs = [(crossed[0], crossed[1])] if len(crossed) == 2 else [(place, middle) for place in crossed]
        segments += [(*one, *other) for one, other in pairs]
    return pl.DataFrame(segments, schema=dict.fromkeys(("x", "y", "x2", "y2"), pl.Float64), orient="row")


def _finer(positions: Values, fineness: int) -> Values:
    steps = np.arange((len(positions) - 1) * fineness + 1) / fineness
    return np.interp(steps, np.arange(len(positions)), positions)


def _with_edges(positions: Values, axis: Axis) -> Values:
    return np.concatenate([axis.edges[:1], positions, axis.edges[-1:]])


def _interpolated(grid: Grid, mean: Values, rows: Values, columns: Values, logarithmic: bool) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = grid.matrix(np.log(mean) if logarithmic else mean)
    across = np.stack([np.interp(columns, grid.columns.positions, row) for row in matrix])
    both = np.stack([np.interp(rows, grid.rows.positions, column) for column in across.T], axis=1)
    interpolated: Values = np.exp(both) if logarithmic else both
    return interpolated
