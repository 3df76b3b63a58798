"""Rows on their way into the lake: the columns of each table, and batches of polars frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import polars as pl

from miners.fields import Fields

MOST_COMPLAINTS = 10
TIME = pl.Datetime("us", "UTC")
COLUMNS: dict[str, dict[str, pl.DataType]] = {
    "tag": {"model_id": pl.String(), "tag": pl.String(), "kind": pl.String()},
    "link": {"model_id": pl.String(), "kind": pl.String(), "target": pl.String(), "source": pl.String()},
    "file": {
        "model_id": pl.String(),
        "path": pl.String(),
        "format": pl.String(),
        "bytes": pl.Int64(),
        "sha256": pl.String(),
        "blob": pl.String(),
    },
    "evaluation": {
        "model_id": pl.String(),
        "task": pl.String(),
        "dataset": pl.String(),
        "config": pl.String(),
        "split": pl.String(),
        "metric": pl.String(),
        "value": pl.Float64(),
        "value_text": pl.String(),
        "verified": pl.Boolean(),
        "source": pl.String(),
    },
    "card": {
        "model_id": pl.String(),
        "sha": pl.String(),
        "text": pl.String(),
        "metadata": pl.String(),
        "problems": pl.List(pl.String()),
        "bytes": pl.Int64(),
        "fetched_at": TIME,
    },
    "card_section": {
        "model_id": pl.String(),
        "position": pl.Int32(),
        "level": pl.Int32(),
        "heading": pl.String(),
        "words": pl.Int32(),
        "filled": pl.Boolean(),
        "evidence": pl.String(),
    },
    "tensor": {
        "model_id": pl.String(),
        "path": pl.String(),
        "name": pl.String(),
        "dtype": pl.String(),
        "shape": pl.List(pl.Int64()),
        "begin_byte": pl.Int64(),
        "end_byte": pl.Int64(),
    },
    "weights": {
        "model_id": pl.String(),
        "format": pl.String(),
        "main": pl.Boolean(),
        "files": pl.Int64(),
        "tensors": pl.Int64(),
        "parameters": pl.Int64(),
        "bytes": pl.Int64(),
        "fingerprint": pl.String(),
    },
    "weights_dtype": {
        "model_id": pl.String(),
        "format": pl.String(),
        "dtype": pl.String(),
        "tensors": pl.Int64(),
        "parameters": pl.Int64(),
        "bytes": pl.Int64(),
        "share": pl.Float64(),
    },
    "weights_metadata": {
        "model_id": pl.String(),
        "path": pl.String(),
        "kind": pl.String(),
        "key": pl.String(),
        "type": pl.String(),
        "value": pl.String(),
        "characters": pl.Int64(),
    },
    "parameters": {"model_id": pl.String(), "parameters": pl.Int64()},
}


class Failure(NamedTuple):
    """Something that could not be read: its model_id, path or URL, the stage it happened in, and why."""

    subject: str
    stage: str
    reason: str


@dataclass
class Batch:
    """Frames by table, and the failures met on the way.

    `seen` and `stored` count the records of a listing; each that is seen and not stored is a failure of the stage
    `listing`, so that seen = stored + failed. Failures of other stages say what a stored record lacks.
    """

    seen: int = 0
    stored: int = 0
    frames: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Records of the listing that could not be stored."""
        return sum(failure.stage == "listing" for failure in self.failures)

    @property
    def unread(self) -> int:
        """Files that could not be read or were refused."""
        return sum(failure.stage == "file" for failure in self.failures)

    def add(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows to a table."""
        if not frame.is_empty():
            self.frames.setdefault(table, []).append(frame)

    def add_rows(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Add rows that are tuples in the order of the table's COLUMNS."""
        if rows:
            columns = zip(COLUMNS[table].items(), zip(*rows, strict=True), strict=True)
            self.add(table, pl.DataFrame([pl.Series(name, column, dtype) for (name, dtype), column in columns]))

    def fail(self, subject: str, stage: str, reason: str) -> None:
        """Remember what could not be read."""
        self.failures.append(Failure(subject, stage, reason))

    def fail_fields(self, subject: str, fields: Fields) -> None:
        """Remember what in one answer had another type than it should, the first of it."""
        complaints = [complaint for found in fields.wrong.values() for complaint in found]
        if complaints:
            self.fail(subject, "field", "; ".join(complaints[:MOST_COMPLAINTS]))

    def extend(self, others: Iterable["Batch"]) -> None:
        """Take over everything of other batches."""
        for other in others:
            self.seen += other.seen
            self.stored += other.stored
            self.failures += other.failures
            for table, frames in other.frames.items():
                self.frames.setdefault(table, []).extend(frames)

    def tables(self, hub: str, crawl_id: str, at: datetime) -> dict[str, pl.DataFrame]:
        """Give one frame a table; `hub`, `crawl_id` and the time `at` are those of the failures."""
        tables = {table: pl.concat(frames) for table, frames in self.frames.items()}
        if self.failures:
            failures = pl.DataFrame(self.failures, schema=list(Failure._fields), orient="row")
            tables["failure"] = stamped(failures, {"hub": hub, "crawl_id": crawl_id, "happened_at": at})
        return tables


def stamped(frame: pl.DataFrame, stamps: Mapping[str, str | datetime]) -> pl.DataFrame:
    """Add columns that hold one value each."""
    return frame.with_columns(
        pl.lit(value, dtype=TIME if isinstance(value, datetime) else pl.String()).alias(name)
        for name, value in stamps.items()
    )
