"""Recognises a snapshot by its columns, and turns its records into one shape, whatever their types are.

The shape (a relation of DuckDB) has a row a record: `place` in the file, the scalars of `model` by their names there,
the lists `tags`, `paths`, `spaces`, `datasets`, `languages`, `tag_parents` and `card_parents`, and `fits`: whether the
row says all that the record does. Rows that do not fit are read from the record itself, by the page path.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from miners import snapshot_columns as read
from miners.snapshot_columns import Field, Reader
from schemas.errors import UsageError

READERS: dict[str, Reader] = {
    "_id": read.text,
    "id": read.text,
    "modelId": read.text,
    "sha": read.text,
    "location": read.text,
    "pipeline_tag": read.text,
    "library_name": read.text,
    "usedStorage": read.whole,
    "downloads": read.whole,
    "downloadsAllTime": read.whole,
    "likes": read.whole,
    "trendingScore": read.number,
    "gated": read.gated,
    "private": read.flag,
    "disabled": read.flag,
    "createdAt": read.moment,
    "lastModified": read.moment,
    "tags": read.texts,
    "spaces": read.texts,
    "siblings": read.siblings,
    "cardData": read.whole_object,
    "config": read.whole_object,
    "gguf": read.whole_object,
    "safetensors": read.whole_object,
    "model-index": read.results,
}
OF_MODELS = ("modelId", "pipeline_tag", "library_name", "siblings", "config", "safetensors", "gguf")
COUNTED = ("downloads", "likes")
TIMES = ("observed_at", "snapshot_date", "snapshot_time")  # columns that say when a record was observed
NO_MODELS = {"sdk": "Spaces", "paperswithcode_id": "datasets", "mainSize": "datasets"}
EXPECTED = (
    "expected model records of the Hugging Face Hub: id or modelId, tags, downloads or likes, and one of "
    f"{', '.join(OF_MODELS)} (as in hub-stats' models.parquet, the weekly snapshots, or the API's answers), one a line "
    "where it is JSON"
)


class Layout(NamedTuple):
    """The columns of a snapshot and their DuckDB types; `name` says which layout it is."""

    name: str
    columns: Mapping[str, str]

    @property
    def missing(self) -> list[str]:
        """Fields that the snapshot does not have."""
        named = {"id", "modelId"}
        return [field for field in READERS if field not in self.columns and field not in {"location", *named}]

    @property
    def time(self) -> str | None:
        """Name of the column that says when a record was observed."""
        return next((name for name in TIMES if name in self.columns), None)


def layout(columns: Mapping[str, str], source: str) -> Layout:
    """Recognise the columns of a file, given with their types.

    Raises UsageError if these are no model records.
    """
    for name, kind in NO_MODELS.items():
        if name in columns and "pipeline_tag" not in columns:
            raise UsageError(f"{source} holds records of {kind} (it has a column {name}); {EXPECTED}")
    has_id = "id" in columns or "modelId" in columns
    if not (has_id and "tags" in columns and _any(COUNTED, columns) and _any(OF_MODELS, columns)):
        found = ", ".join(columns) or "nothing"
        raise UsageError(f"{source} has the columns {found[:300]}; {EXPECTED}")
    flat = columns.get("cardData") == "VARCHAR" or "baseModels" in columns
    return Layout("hub-stats" if flat else "API records", columns)


def _any(names: Sequence[str], columns: Mapping[str, str]) -> bool:
    return any(name in columns for name in names)


def fields(columns: Mapping[str, str]) -> dict[str, Field]:
    """Give the expressions of each field; one that the file does not have is NULL."""
    found = {}
    for name, reader in READERS.items():
        kind = columns.get(name)
        found[name] = reader(f'"{name}"', kind) if kind else reader("NULL::JSON", "JSON")
    return found
