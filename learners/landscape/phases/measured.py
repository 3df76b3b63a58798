"""What the lake has measured of a population's members: a table for the rule, and the settings behind its values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

import polars as pl

from learners.landscape.measuring.metrics import Setting, metric_named, with_settings
from learners.landscape.measuring.recording import mark_of
from learners.landscape.measuring.trained_on import WHOLE, trained_on
from learners.landscape.phases.columns import ERRORS
from learners.landscape.phases.rule import Rule
from schemas import Lake

VALUE = """
unnest(coalesce(max_by(found, measured_at) FILTER (settings->>'$.landscape' = asked.mark), max_by(found, measured_at)))
"""
FOUND = "(SELECT *, struct_pack(value, standard_error, settings) AS found FROM {} WHERE value IS NOT NULL)"
ASKED = "(SELECT unnest($names) AS metric, unnest($marks) AS mark) AS asked"
SINGLE = f"""
SELECT model_id AS first_id, metric, {VALUE} FROM {FOUND.format("measurement")} JOIN {ASKED} USING (metric)
WHERE model_id IN (SELECT unnest($ids)) AND epoch IS NULL AND split = 'train' GROUP BY model_id, metric
"""  # noqa: S608 - our words
PAIRS = f"""
SELECT first_id, second_id, metric, {VALUE} FROM {FOUND.format("pair_measurement")} JOIN {ASKED} USING (metric)
WHERE first_id IN (SELECT unnest($ids)) AND second_id IN (SELECT unnest($ids)) GROUP BY first_id, second_id, metric
"""  # noqa: S608 - our words
USED = ("loss", "error", "hessian_trace"), ("cka", "mode_connectivity")
"""Metrics of models and of pairs that become columns."""
CANONICAL = {"loss": "train_loss", "error": "train_error", "hessian_trace": "log_hessian_trace"}
OF_EXAMPLES = ("loss", "error")
"""Their errors are those of drawing other examples, and these are the ones that the models were trained on."""


@dataclass(frozen=True)
class Measured:
    """The measurements of a population's members.

    Attributes:
        frame: Canonical columns, a row a member, and a row a pair; their names in `first_id` and `second_id`.
        settings: What each value was measured with: width, batch_size (the axes' values), metric, and its settings as
            a JSON object; a row for each that differs.
    """

    frame: pl.DataFrame
    settings: pl.DataFrame

    def of_cells(self) -> pl.DataFrame:
        """By cell, as width and batch_size, the settings of its metrics as one JSON object, `measured_with`.

        Where they differ within a cell there is a list of them.
        """
        rows = []
        for place, part in self.settings.group_by("width", "batch_size", maintain_order=True):
            told: dict[str, list[object]] = {}
            for metric, said in part.select("metric", "settings").iter_rows():
                told.setdefault(metric, []).append(json.loads(said))
            each = {name: known[0] if len(known) == 1 else known for name, known in told.items() if any(known)}
            rows.append((*place, json.dumps(each, sort_keys=True)))
        schema = {name: self.settings.schema[name] for name in ("width", "batch_size")}
        return pl.DataFrame(rows, schema=schema | {"measured_with": pl.String}, orient="row")

    def said(self) -> str:
        """The settings of all metrics in a line."""
        return "; ".join(f"{name}: {' or '.join(known)}" for name, known in self._known() if any(known))

    def notes(self, rule: Rule) -> Iterator[str]:
        """What makes phases doubtful: settings beyond those that the rule holds for, and cells that differ in them."""
        for name, known in self._known():
            column = CANONICAL.get(name, name)
            if column not in rule.metrics:
                continue
            if len(known) > 1:
                yield f"{name} was not measured alike in all cells ({' or '.join(known)}), which phases may follow"
            for setting, least in rule.metrics[column].calibrated.items():
                lowest = min(self._values(name, setting), default=least)
                if lowest < least:
                    yield (
                        f"{name} was measured with {setting}={lowest:g}, and the rule {rule.name} holds for {least:g} "
                        "or more: shorter curves find fewer low paths, so that barriers look higher than they are"
                    )

    def _known(self) -> list[tuple[str, list[str]]]:
        """By metric its settings in words, each that occurs."""
        known: dict[str, list[str]] = {}
        distinct = self.settings.select("metric", "settings").unique().sort("metric", "settings")
        for name, said in distinct.iter_rows():
            words = " ".join(f"{setting}={value}" for setting, value in json.loads(said).items())
            known.setdefault(name, []).append(words)
        return list(known.items())

    def _values(self, name: str, setting: str) -> list[float]:
        said = self.settings.filter(pl.col("metric") == name)["settings"].unique()
        return [float(one[setting]) for one in map(json.loads, said) if setting in one]


def measured(lake: Lake, members: pl.DataFrame, axes: Sequence[str], settings: Mapping[str, Setting]) -> Measured:
    """The measurements of members: of a metric that was measured in several ways with these settings, or the newest."""
    ids = members["model_id"].to_list()
    places = members.select(first_id="model_id", width=pl.col(axes[0]), batch_size=pl.col(axes[1]))
    seen = {str(one.mark): one.mark for one in (WHOLE, *trained_on(lake, ids).values())}.values()
    frames, used = [places.with_columns(second_id=pl.lit(None, pl.String))], []
    for query, names in zip((SINGLE, PAIRS), USED, strict=True):
        marks = {
            name: [mark_of(with_settings(metric_named(name), settings), 0, seen=one) for one in seen] for name in names
        }
        asked = [(name, mark) for name, each in marks.items() for mark in each]
        rows = lake.sql(query, ids=ids, names=[name for name, _ in asked], marks=[mark for _, mark in asked])
        if not rows.is_empty():
            rows = places.join(_canonical(rows), on="first_id")
            keys = [name for name in ("width", "batch_size", "first_id", "second_id") if name in rows.columns]
            values = rows.pivot(on="column", index=keys, values="value")
            errors = rows.with_columns(pl.col("column").replace_strict(ERRORS)).pivot(
                on="column", index=keys, values="standard_error"
            )
            frames.append(values.join(errors, on=keys, nulls_equal=True))
            used.append(rows.select("width", "batch_size", "metric", "settings"))
    schema = {"width": places.schema["width"], "batch_size": places.schema["batch_size"]}
    nothing = pl.DataFrame(schema=schema | {"metric": pl.String, "settings": pl.String})
    order = ("width", "batch_size", "metric", "settings")
    return Measured(pl.concat(frames, how="diagonal"), pl.concat([nothing, *used]).unique().sort(order))


def _canonical(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of measurements as the rule takes them: their column, logarithms of traces, errors of the values' own."""
    trace, value = pl.col("metric") == "hessian_trace", pl.col("value")
    logarithm = pl.when(value > 0).then(value.log10())
    error = pl.when(trace).then(pl.col("standard_error") / value / log(10)).otherwise(pl.col("standard_error"))
    own = pl.when(~pl.col("metric").is_in(OF_EXAMPLES) & error.is_finite()).then(error)
    return rows.with_columns(
        value=pl.when(trace).then(logarithm).otherwise(value),
        standard_error=own,
        settings=pl.struct("metric", "settings").map_elements(_own_settings, return_dtype=pl.String),
        column=pl.col("metric").replace(CANONICAL),
    )


def _own_settings(row: Mapping[str, str]) -> str:
    """What a row's value was measured with, of the metric's settings."""
    known = json.loads(row["settings"])
    return json.dumps({name: known[name] for name in metric_named(row["metric"]).settings if name in known})
