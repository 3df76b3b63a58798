"""Rows of measurements: what is known already, and what was found, with settings, error, seed or reason."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

import polars as pl

from learners.landscape.measuring.group import Found
from learners.landscape.measuring.metrics import Metric
from schemas import Lake

Key = tuple[str, ...]
"""A model, or two."""
Keyed = Mapping[str, Sequence[tuple[Key, Sequence[Found]]]]
"""By metric what was found for models or pairs."""

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "metric": pl.String,
    "split": pl.String,
    "value": pl.Float64,
    "standard_error": pl.Float64,
    "samples": pl.Int64,
    "probes": pl.Int64,
    "settings": pl.String,
    "seed": pl.Int64,
    "reason": pl.String,
    "measured_at": pl.Datetime("us", "UTC"),
}
TABLES = {False: ("measurement", ["model_id"]), True: ("pair_measurement", ["first_id", "second_id"])}
OURS = "settings->>'$.landscape' = $mark AND metric = $metric"
AGAIN = "settings->>'$.again' = 'true'"


def mark_of(
    metric: Metric, seed: int, given: str | None = None, seen: Mapping[str, object] = MappingProxyType({})
) -> str:
    """What a value depends on, as text: the same for the same settings, seed and data.

    `seen` is `TrainedOn.mark`: what members saw of the training data, where that is not all of them as they are. It
    counts for metrics that are measured on that.
    """
    used = seen if metric.as_trained else {}
    known = {**metric.settings, "split": metric.split, "seed": seed if metric.random else None, **used}
    return json.dumps(known | ({"given": given} if given else {}), sort_keys=True)


@dataclass(frozen=True)
class Recorder:
    """Reads and writes the rows of one call of `measure`.

    Attributes:
        lake: Where they are.
        seed: Of everything that is drawn.
        given: A digest of the architecture and data that the caller gave; None where the lake knows them.
        seen: What the members that are measured saw of the training data, see `mark_of`.
        contents: By mined model a hash of its weights, see `contents_of`: a row is known while they are the same.
    """

    lake: Lake
    seed: int
    given: str | None
    seen: Mapping[str, object] = field(default_factory=dict)
    contents: Mapping[str, str | None] = field(default_factory=dict)

    def mark(self, metric: Metric) -> str:
        """What a value of this call depends on."""
        return mark_of(metric, self.seed, self.given, self.seen)

    def content(self, key: Key) -> str | None:
        """What the mined models of a key are now; None if there are none, or one of them cannot be read."""
        found = [self.contents[model_id] for model_id in key if model_id in self.contents]
        return " ".join(map(str, found)) if found and None not in found else None

    def missing(self, metrics: Iterable[Metric], ids: Sequence[str], pairs: Sequence[Key]) -> dict[str, list[Key]]:
        """By metric the models or pairs without a row, or with one only that says that weights were not to be had."""
        asked = list(metrics)
        known = self._known([m for m in asked if not m.pair], ids) | self._known([m for m in asked if m.pair], ids)
        single: list[Key] = [(model_id,) for model_id in ids]
        return {
            metric.name: [key for key in (pairs if metric.pair else single) if (metric.name, *key) not in known]
            for metric in asked
        }

    def _known(self, metrics: Sequence[Metric], ids: Sequence[str]) -> set[tuple[str, ...]]:
        if not metrics:
            return set()
        table, columns = TABLES[metrics[0].pair]
        epoch = "" if metrics[0].pair else "AND epoch IS NULL"
        query = f"""
            SELECT DISTINCT settings->>'$.contents', metric, {", ".join(columns)} FROM {table}
            JOIN (SELECT unnest($names) AS metric, unnest($marks) AS mark) AS asked USING (metric)
            WHERE settings->>'$.landscape' = mark AND coalesce(NOT ({AGAIN}), true) {epoch}
            AND {columns[0]} IN (SELECT unnest($ids))
        """  # noqa: S608 - our names
        marks = [self.mark(metric) for metric in metrics]
        rows = self.lake.sql(query, names=[metric.name for metric in metrics], marks=marks, ids=list(ids))
        return {(name, *key) for then, name, *key in rows.iter_rows() if self.content(tuple(key)) in (None, then)}

    def write(self, metrics: Mapping[str, Metric], keyed: Keyed, again: bool = False) -> None:
        """Write rows; `again` marks those that are measured anew when they are asked for the next time."""
        now = datetime.now(UTC)
        with self.lake.write() as transaction:
            for name, values in keyed.items():
                metric = metrics[name]
                table, columns = TABLES[metric.pair]
                rows = [
                    dict(zip(columns, key, strict=True)) | self._row(metric, key, found, now, again)
                    for key, each in values
                    for found in each
                ]
                if not rows:
                    continue
                schema = {**dict.fromkeys(columns, pl.String), **SCHEMA}
                transaction.sql(
                    f"DELETE FROM {table} WHERE {OURS} AND {AGAIN} AND {columns[0]} IN (SELECT unnest($ids))",  # noqa: S608 - our names
                    mark=self.mark(metric),
                    metric=name,
                    ids=sorted({key[0] for key, _ in values}),
                )
                transaction.append(table, pl.DataFrame(rows, schema=schema))

    def _row(self, metric: Metric, key: Key, found: Found, now: datetime, again: bool) -> dict[str, object]:
        seen = self.seen if metric.as_trained else {}
        content = self.content(key)
        settings = {**metric.settings, **seen, **found.detail, "landscape": self.mark(metric)}
        settings |= {"contents": content} if content else {}
        return {
            "metric": metric.name,
            "split": metric.split,
            "value": found.value,
            "standard_error": found.error,
            "samples": found.samples,
            "probes": found.probes,
            "settings": json.dumps(settings | ({"again": True} if again else {})),
            "seed": self.seed if metric.random else None,
            "reason": found.reason,
            "measured_at": now,
        }
