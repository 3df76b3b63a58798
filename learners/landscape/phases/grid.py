"""The grid that cells lie on: positions along two axes, logarithmic where they can be, and matrices of values."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learners.landscape.phases.columns import AXES, Values


@dataclass(frozen=True)
class Axis:
    """One axis: its values in order, and where they lie (logarithms to base two, or their numbers)."""

    values: tuple[float, ...]

    @property
    def positions(self) -> Values:
        """Where the values lie."""
        values = np.array(self.values, dtype=np.float64)
        return np.log2(values) if values.min() > 0 else np.arange(len(values), dtype=np.float64)

    @property
    def edges(self) -> Values:
        """Borders of the values' cells, half-way between neighbours `[n + 1]`."""
        positions = self.positions
        if len(positions) == 1:
            return np.array([positions[0] - 0.5, positions[0] + 0.5])
        middles = (positions[1:] + positions[:-1]) / 2
        return np.concatenate([[2 * positions[0] - middles[0]], middles, [2 * positions[-1] - middles[-1]]])


@dataclass(frozen=True)
class Grid:
    """A grid of cells: rows go by width (load), columns by batch size (temperature)."""

    rows: Axis
    columns: Axis
    cell: NDArray[np.int64]
    """Number of the cell at each place `[rows, columns]`, -1 where there is none."""

    def matrix(self, values: Values) -> Values:
        """A value a cell as a matrix, NaN where there is no cell."""
        return np.where(self.cell < 0, np.nan, values[self.cell])


def grid_of(axes: pl.DataFrame) -> Grid | None:
    """The grid of a table of cells with both axes and their values known; None where there is none."""
    if not set(AXES) <= set(axes.columns) or axes.is_empty():
        return None
    if not all(axes[axis].dtype.is_numeric() for axis in AXES) or axes.null_count().sum_horizontal().item():
        return None
    rows, columns = (Axis(tuple(float(value) for value in axes[axis].unique().sort())) for axis in AXES)
    cell = np.full((len(rows.values), len(columns.values)), -1)
    places = [
        np.searchsorted(axis.values, axes[name].to_numpy()) for name, axis in zip(AXES, (rows, columns), strict=True)
    ]
    cell[places[0], places[1]] = np.arange(axes.height)
    return Grid(rows, columns, cell)
