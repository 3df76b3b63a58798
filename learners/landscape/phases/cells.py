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
        errors: The standard errors of values, likewise, for the metrics that have any; NaN where a value has none.
        models: The two models that each row speaks of, numbered within the cell, `[cells, rows, 2]`; the same twice
            where it speaks of one, -1 where there is no row.
    """

    axes: pl.DataFrame
    cell_of: Indices
    values: dict[str, Values]
    errors: dict[str, Values]
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
    frame: pl.DataFrame,
    names: Mapping[str, str],
    metrics: Mapping[str, Values],
    errors: Mapping[str, Values],
    models: tuple[str, str] | None = None,
) -> Cells:
    """Group rows that share their place in the grid; without axes each row is a cell.

    `models` are two columns that name the models that a row speaks of, the second null where that is one; without them
    each row speaks of a model of its own. Within a cell rows are put in order, so that theirs in the table is the same.
    """
    axes = {axis: frame[names[axis]] for axis in AXES if axis in names}
    places = pl.DataFrame(axes).with_row_index("row") if axes else pl.DataFrame({"row": range(frame.height)})
    keys = list(axes) or ["row"]
    distinct = places.select(keys).unique(maintain_order=True).with_row_index("cell")
    cell_of = places.join(distinct, on=keys, how="left", nulls_equal=True, maintain_order="left")["cell"].to_numpy()
    cell_of = cell_of.astype(np.int64)
    order = _order(frame, metrics, errors, models, cell_of)
    position = _position_in_cell(cell_of, order)
    shape = (distinct.height, int(position.max(initial=-1)) + 1)
    values, deviations = (
        {name: _spread(column, cell_of, position, shape) for name, column in each.items()} for each in (metrics, errors)
    )
    numbers = np.stack([position, position], axis=1) if models is None else _numbered(frame, models, cell_of, order)
    whose = np.full((*shape, 2), -1)
    whose[cell_of, position] = numbers
    axis_columns = distinct.select(list(axes)) if axes else distinct.drop("cell")
    return Cells(axis_columns, cell_of, values, deviations, whose)


def _order(
    frame: pl.DataFrame,
    metrics: Mapping[str, Values],
    errors: Mapping[str, Values],
    models: tuple[str, str] | None,
    cell_of: Indices,
) -> Indices:
    """The rows cell by cell, in an order that follows from what they say."""
    named = [frame[name] for name in models or ()]
    said = [*named, *(pl.Series(column) for each in (metrics, errors) for _, column in sorted(each.items()))]
    table = pl.DataFrame([pl.Series(cell_of), *said], schema=[f"{number}" for number in range(len(said) + 1)])
    ordered = table.with_row_index("row").sort(table.columns, maintain_order=True)["row"]
    return ordered.to_numpy().astype(np.int64)


def _numbered(frame: pl.DataFrame, models: tuple[str, str], cell_of: Indices, order: Indices) -> Indices:
    """The models of each row, numbered from 0 within its cell, `[rows, 2]`."""
    numbers: dict[int, dict[str, int]] = {}
    first, second = (frame[name].to_list() for name in models)
    found = np.zeros((len(order), 2), dtype=np.int64)
    for row in order.tolist():
        known = numbers.setdefault(int(cell_of[row]), {})
        pair = (first[row], first[row] if second[row] is None else second[row])
        found[row] = [known.setdefault(name, len(known)) for name in pair]
    return found


def _position_in_cell(cell_of: Indices, order: Indices) -> Indices:
    begins = np.searchsorted(cell_of[order], cell_of[order])
    position = np.empty_like(cell_of)
    position[order] = np.arange(len(cell_of)) - begins
    return position


def _spread(column: Values, cell_of: Indices, position: Indices, shape: tuple[int, int]) -> Values:
    values = np.full(shape, np.nan)
    values[cell_of, position] = column
    return values
