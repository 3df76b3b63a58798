"""A population as a dataset of torch: a model's weights, and a number or several that are to be told from them."""

from collections.abc import Callable, Sequence

import polars as pl
import torch
from torch import Tensor
from torch.utils.data import Dataset

from schemas.errors import UsageError
from zoo.mistakes import expected_one_of


class WeightDataset(Dataset[tuple[object, Tensor]]):
    """Pairs of a model's weights, in the form that was asked for, and its targets `[targets]`, float32."""

    def __init__(self, weights: Callable[[int], object], targets: Tensor) -> None:
        self.weights, self.targets = weights, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[object, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.weights(index % len(self)), self.targets[index]


def targets_of(rows: pl.DataFrame, columns: Sequence[str]) -> Tensor:
    """Columns of a population's rows as a matrix `[N, columns]`, float32.

    Raises:
        UsageError: There is no such column, or it holds no numbers, or not for every model.
    """
    for column in columns:
        if column not in rows.columns:
            raise UsageError(f"target {column!r}: {expected_one_of(column, rows.columns)}; let the query return it")
        if not (rows.schema[column].is_numeric() or rows.schema[column] == pl.Boolean):
            raise UsageError(f"target {column!r} is {rows.schema[column]}; expected a column of numbers")
        if missing := rows[column].null_count():
            raise UsageError(f"target {column!r} is NULL for {missing} models; add WHERE {column} IS NOT NULL")
    return torch.from_numpy(rows.select(pl.col(columns).cast(pl.Float32)).to_numpy(writable=True))
