"""A population on its way out, in words that every format has a place for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from schemas import Lake, UsageError
from zoo.architectures import ARCHITECTURES
from zoo.exchange.companion import KEYS, TABLES, Described, as_json, beside
from zoo.exchange.fields import IMPORTED, OWN, SHORT, as_statement, from_statement
from zoo.exchange.foreign import Block
from zoo.publishing.emails import scrub
from zoo.publishing.privacy import placeless_dataset, placeless_recipe, without_folders
from zoo.publishing.written import without_addresses

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
        self._recipe = as_json(found["recipe"].item()) or {}
        self.population = _of_others(found).row(0, named=True)
        self.rows = {table: _of_others(frame, kept=KEYS.get(table, "model_id")) for table, frame in rows.items()}
        self.name_of = {model_id: model_id.partition("/")[2] for model_id in self.ids}

    @property
    def architecture(self) -> str | None:
        """Their architecture."""
        found = self.population["architecture"]
        return None if found is None else str(found)

    @property
    def is_ours(self) -> bool:
        """Whether they were trained here."""
        return "imported" not in self._recipe and self.architecture in ARCHITECTURES

    @property
    def layout(self) -> list[list[Any]]:
        """The layout of the matrix that the population was imported from; empty if it was not."""
        return list(self._recipe.get("imported", {}).get("layout", []))

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


def _statement(value: str) -> str:
    """A value of `statement` without addresses, which is read back as what it was."""
    return value if scrub(value) == value else as_statement(without_addresses(from_statement(value, None)))[0]


PLACELESS = {"recipe": placeless_recipe, "dataset": placeless_dataset, "reason": without_folders, "value": _statement}


def _of_others(frame: pl.DataFrame, kept: str = "population_id") -> pl.DataFrame:
    """Rows for others: texts without addresses of e-mail and folders of this machine, but for the key."""
    return frame.with_columns(
        _without(column, PLACELESS.get(column.name, str)) for column in frame if column.name != kept
    )


def _without(column: pl.Series, placeless: Callable[[str], str]) -> pl.Series:
    if column.dtype == pl.String:
        texts = {text: without_addresses(placeless(text)) for text in column.drop_nulls().unique()}
        return column.replace_strict(texts, return_dtype=pl.String, default=None) if texts else column
    if column.dtype.is_nested():
        return pl.Series(column.name, without_addresses(column.to_list()), column.dtype)
    return column


CURVE = ("model_id", "epoch", "split", "metric", "value")
MEASURED = ("model_id", "epoch", "metric", "value", "settings")
SAID = ("model_id", "name", "value", "number", "source")
QUERY = "FROM {table} WHERE {key} IN (SELECT unnest($ids)) ORDER BY ALL"
