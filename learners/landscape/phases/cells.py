"""Cells: the models of one place of the grid, whose measurements are averaged and resampled together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learners.landscape.phases.columns import AXES, Values

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """The cells of a table.

    Attributes:
        axes: A column a grid axis and a row a cell; no column where the table has no axes.
        cell_of: The cell of each row of the table.
        values: By metric `[cells, rows]`, NaN where a cell has fewer rows or a row no value.
        models: The two models that each row speaks of, numbered within the cell, `[cells, rows, 2]`; the same twice
            where it speaks of one, -1 where there is no row.
    """

    axes: pl.DataFrame
    cell_of: Indices
    values: dict[str, Values]
    models: Indices

    def __len__(self) -> int:
        return self.axes.height

    @property
    def means(self) -> dict[str, Values]:
        """By metric the mean over each cell's members `[cells]`, NaN where there is no value."""
        return {name: mean_of(values) for name, values in self.values.items()}


def mean_of(values: Values) -> Values:
    """Mean over the last axis of what is there; NaN where nothing is."""
    present = ~np.isnan(values)
    total = np.where(present, values, 0.0).sum(axis=-1)
    count = present.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def cells_of(
    frame: pl.DataFrame, names: Mapping[str, str], metrics: Mapping[str, Values], models: tuple[str, str] | None = None
) -> Cells:
    """Group rows that share their place in the grid; without axes each row is a cell.

    `models` are two columns that name the models that a row speaks of, the second null where that is one; without them
    each row speaks of a model of its own.
    """
    axes = {axis: frame[names[axis]] for axis in AXES if axis in names}
    places = pl.DataFrame(axes).with_row_index("row") if axes else pl.DataFrame({"row": range(frame.height)})
    keys = list(axes) or ["row"]
    distinct = places.select(keys).unique(maintain_order=True).with_row_index("cell")
    cell_of = places.join(distinct, on=keys, how="left", nulls_equal=True, maintain_order="left")["cell"].to_numpy()
    cell_of = cell_of.astype(np.int64)
    position = _position_in_cell(cell_of)
    shape = (distinct.height, int(position.max(initial=-1)) + 1)
    values = {name: _spread(column, cell_of, position, shape) for name, column in metrics.items()}
    numbers = np.stack([position, position], axis=1) if models is None else _numbered(frame, models, cell_of)
    whose = np.full((*shape, 2), -1)
    whose[cell_of, position] = numbers
    return Cells(distinct.select(list(axes)) if axes else distinct.drop("cell"), cell_of, values, whose)


def _numbered(frame: pl.DataFrame, models: tuple[str, str], cell_of: Indices) -> Indices:
    """The models of each row, numbered from 0 within its cell, `[rows, 2]`."""
    numbers: dict[int, dict[str, int]] = {}
    found = []
    for cell, first, second in zip(cell_of.tolist(), frame[models[0]], frame[models[1]], strict=True):
        known = numbers.setdefault(cell, {})
        pair = (first, first if second is None else second)
        found.append([known.setdefault(name, len(known)) for name in pair])
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _position_in_cell(cell_of: Indices) -> Indices:
    order = np.argsort(cell_of, kind="stable")
    begins = np.searchsorted(cell_of[order], cell_of[order])
    position = np.empty_like(cell_of)
    position[order] = np.arange(len(cell_of)) - begins
    return position


def _spread(column: Values, cell_of: Indices, position: Indices, shape: tuple[int, int]) -> Values:
    values = np.full(shape, np.nan)
    values[cell_of, position] = column
    return values
