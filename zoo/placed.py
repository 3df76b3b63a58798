"""Finds the weights of all models that a query selects: one moment of the lake, one join, no Python object a model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from schemas import Lake
from zoo.locate import InFiles, InShard, Place, locate, usable

PLACES = """
SELECT position, shard, row FROM selected LEFT JOIN checkpoint ON checkpoint.model_id = selected.model_id
    AND CASE WHEN selected.epoch IS NULL THEN final ELSE checkpoint.epoch = selected.epoch END
ORDER BY position, checkpoint.epoch
"""


@dataclass(frozen=True)
class Source:
    """Models whose weights lie in one shard, or in the same files."""

    lies_in: str | InFiles
    """The shard's name, or the files."""
    targets: Tensor
    """Which of the selected models they are, `[n]`, int64, ascending."""
    rows: Tensor | None
    """Their rows of the shard, `[n]`, int64; None for files."""


@dataclass(frozen=True)
class Placed:
    """The rows of a query that selects models, and where the weights of each lie."""

    rows: pl.DataFrame
    places: pl.DataFrame
    """`shard` and `row` of each; NULL for a model that has no such checkpoint in the weight store."""

    def take(self, indices: Sequence[int]) -> "Placed":
        """Those of these indices."""
        return Placed(self.rows[list(indices)], self.places[list(indices)])

    def sources(self, lake: Lake) -> list[Source]:
        """Where the weights are to be read, by the first model that is there; errors as in `zoo.locate.locate`."""
        targets = self.places.with_row_index("target").cast({"target": pl.Int64, "row": pl.Int64})
        stored = targets.drop_nulls("shard").partition_by("shard", maintain_order=True)
        found = [Source(part["shard"][0], _tensor(part["target"]), _tensor(part["row"])) for part in stored]
        if self.places["shard"].null_count():
            found += self._elsewhere(lake, targets.filter(pl.col("shard").is_null())["target"].to_list())
        return sorted(found, key=lambda source: int(source.targets[0]))

    def _elsewhere(self, lake: Lake, targets: list[int]) -> Iterator[Source]:
        """Models that are not in the weight store, one by one."""
        rows = self.rows[targets]
        epochs = rows["epoch"].to_list() if "epoch" in rows.columns else [None] * len(targets)
        where: dict[Place, list[int]] = {}
        for target, place in zip(targets, locate(lake, rows["model_id"].to_list(), epochs), strict=True):
            where.setdefault(place, []).append(target)
        for place, there in where.items():
            if isinstance(place, InShard):  # it has just been trained
                yield Source(place.shard, torch.tensor(there), torch.full((len(there),), place.row))
            else:
                yield Source(place, torch.tensor(there), None)


def placed(lake: Lake, sql: str, parameters: dict[str, object]) -> Placed:
    """Run a query that selects models, and find where their weights lie; errors as in `zoo.locate.selection`."""
    with lake.read() as reading:
        rows = usable(reading.sql(sql, **parameters))
        epoch = rows["epoch"] if "epoch" in rows.columns else pl.Series([None] * rows.height, dtype=pl.Int32)
        epoch = epoch.cast(pl.Int32) if epoch.dtype == pl.Null else epoch
        wanted = {"model_id": rows["model_id"].cast(pl.String), "epoch": epoch}
        reading.register("selected", pl.DataFrame(wanted).with_row_index("position"))
        places = reading.sql(PLACES).unique("position", keep="last", maintain_order=True)
    return Placed(rows, places.select("shard", "row"))


def _tensor(column: pl.Series) -> Tensor:
    return torch.from_numpy(column.to_numpy(writable=True))
