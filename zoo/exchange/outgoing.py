"""A population on its way out, in words that every format has a place for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from schemas import Lake, UsageError
from zoo.architectures import ARCHITECTURES
from zoo.exchange.companion import KEYS, TABLES, Described, as_json, beside
from zoo.exchange.fields import IMPORTED, OWN, SHORT, from_statement
from zoo.exchange.foreign import Block

ROWS_AT_ONCE = 1024
ABOUT = """
SELECT DISTINCT population.* FROM population JOIN member USING (population_id) WHERE model_id IN (SELECT unnest($ids))
"""


@dataclass(frozen=True)
class OutgoingMember:
    """A model on its way out."""

    name: str
    columns: dict[str, Any]
    """What it has of the columns that other zoos have words for."""
    statements: dict[str, dict[str, Any]]
    """What an imported zoo says of it, by the file that said it."""
    curve: dict[int, dict[str, float]]
    """By epoch, under names such as `train_loss` and `val_accuracy`."""
    measured: dict[int, dict[str, float]]
    epochs: list[int]
    """Those of which its weights go out."""


class Outgoing:
    """Checkpoints of one population, and all that the lake knows of their models.

    Raises:
        UsageError: The models are of several populations, or of none.
    """

    def __init__(self, lake: Lake, checkpoints: pl.DataFrame) -> None:
        self.lake = lake
        self.checkpoints = checkpoints.sort("model_id", "epoch")
        self.ids: list[str] = self.checkpoints["model_id"].unique(maintain_order=True).to_list()
        found = lake.sql(ABOUT, ids=self.ids)
        rows = {
            table: lake.sql(QUERY.format(table=table, key=KEYS.get(table, "model_id")), ids=self.ids)
            for table in TABLES
        }
        if found.height != 1 or rows["member"].height != len(self.ids):
            raise UsageError(
                f"these models are of {found.height} populations; a zoo in another tool's format holds members of one, "
                "so select WHERE population_id = ..."
            )
        self.population = found.row(0, named=True)
        self.rows = rows
        self.name_of = {model_id: model_id.partition("/")[2] for model_id in self.ids}

    @property
    def architecture(self) -> str | None:
        """Their architecture."""
        found = self.population["architecture"]
        return None if found is None else str(found)

    @property
    def is_ours(self) -> bool:
        """Whether they were trained here."""
        recipe = as_json(self.population["recipe"]) or {}
        return "imported" not in recipe and self.architecture in ARCHITECTURES

    @property
    def layout(self) -> list[list[Any]]:
        """The layout of the matrix that the population was imported from; empty if it was not."""
        imported = (as_json(self.population["recipe"]) or {}).get("imported", {})
        return list(imported.get("layout", []))

    def described(self, names: Mapping[str, str]) -> Described:
        """The population, with the names of tensors in a format."""
        kept = ("architecture", "dataset", "dataset_sha256", "classes", "input_shape", "split_seed")
        recipe = as_json(self.population["recipe"])
        return Described(**{key: self.population[key] for key in kept}, recipe=recipe, names=dict(names))

    def companion_tables(self) -> dict[str, pl.DataFrame]:
        """The rows that go beside the zoo."""
        return {table: beside(frame, table, self.name_of) for table, frame in self.rows.items()}

    @cached_property
    def members(self) -> list[OutgoingMember]:
        """The models, in the order of their names."""
        curves, measured, said, epochs = ({model_id: {} for model_id in self.ids} for _ in range(4))  # type: ignore[var-annotated]
        for model_id, epoch, split, metric, value in self.rows["training"].select(CURVE).iter_rows():
            if split in SHORT:
                curves[model_id].setdefault(epoch, {})[f"{SHORT[split]}_{metric}"] = value
        for model_id, epoch, metric, value, settings in self.rows["measurement"].select(MEASURED).iter_rows():
            if epoch is not None and settings == IMPORTED:
                measured[model_id].setdefault(epoch, {})[metric] = value
        for model_id, name, value, number, source in self.rows["statement"].select(SAID).iter_rows():
            said[model_id].setdefault(source, {})[name] = from_statement(value, number)
        for model_id, epoch in self.checkpoints.select("model_id", "epoch").iter_rows():
            epochs[model_id][epoch] = True
        columns = {row["model_id"]: row for row in self.rows["member"].iter_rows(named=True)}
        return [
            OutgoingMember(
                self.name_of[model_id],
                {name: columns[model_id][name] for name in OWN if columns[model_id][name] is not None},
                said[model_id],
                curves[model_id],
                measured[model_id],
                sorted(epochs[model_id]),
            )
            for model_id in self.ids
        ]

    def blocks(self) -> Iterator[Block]:
        """Every checkpoint once, stacked, shard by shard."""
        number = {model_id: index for index, model_id in enumerate(self.ids)}
        for (shard, epoch), part in self.checkpoints.group_by("shard", "epoch", maintain_order=True):
            for piece in part.sort("row").iter_slices(ROWS_AT_ONCE):
                members = [number[model_id] for model_id in piece["model_id"]]
                yield Block(
                    int(str(epoch)), members, self.lake.weights.read_members(str(shard), piece["row"].to_list())
                )


CURVE = ("model_id", "epoch", "split", "metric", "value")
MEASURED = ("model_id", "epoch", "metric", "value", "settings")
SAID = ("model_id", "name", "value", "number", "source")
QUERY = "FROM {table} WHERE {key} IN (SELECT unnest($ids)) ORDER BY ALL"
