"""Borders between phases: metrics interpolated over the logarithmic grid, the rule asked at each point of a mesh."""

import numpy as np
import polars as pl

from learners.landscape.phases.assigning import Judged
from learners.landscape.phases.columns import Values
from learners.landscape.phases.grid import Axis, Grid
from learners.landscape.phases.tree import Texts, phase_of

FINENESS = 12
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
    """The lines between phases as segments: x, y, x2, y2, in positions of the grid's axes."""
    rows, columns, phase = mesh(judged, grid, fineness)
    middle_rows, middle_columns = _edges(rows, grid.rows), _edges(columns, grid.columns)
    segments = []
    for i, j in np.argwhere(phase[:, 1:] != phase[:, :-1]).tolist():
        segments.append((middle_columns[j + 1], middle_rows[i], middle_columns[j + 1], middle_rows[i + 1]))
    for i, j in np.argwhere(phase[1:] != phase[:-1]).tolist():
        segments.append((middle_columns[j], middle_rows[i + 1], middle_columns[j + 1], middle_rows[i + 1]))
    return pl.DataFrame(segments, schema=dict.fromkeys(("x", "y", "x2", "y2"), pl.Float64), orient="row")


def _finer(positions: Values, fineness: int) -> Values:
    steps = np.arange((len(positions) - 1) * fineness + 1) / fineness
    return np.interp(steps, np.arange(len(positions)), positions)


def _edges(positions: Values, axis: Axis) -> Values:
    """Half-way between mesh points; the outermost reach to the edges of the outermost cells."""
    middles = (positions[1:] + positions[:-1]) / 2
    return np.concatenate([axis.edges[:1], middles, axis.edges[-1:]])


def _interpolated(grid: Grid, mean: Values, rows: Values, columns: Values, logarithmic: bool) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        matrix = grid.matrix(np.log(mean) if logarithmic else mean)
    across = np.stack([np.interp(columns, grid.columns.positions, row) for row in matrix])
    both = np.stack([np.interp(rows, grid.rows.positions, column) for column in across.T], axis=1)
    interpolated: Values = np.exp(both) if logarithmic else both
    return interpolated
