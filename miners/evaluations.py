"""A card's model-index (https://github.com/huggingface/hub-docs/blob/main/modelcard.md) -> published results."""

import json
import math

import polars as pl

from miners.fields import LARGEST, Fields

SOURCE = "model-index"


def evaluation_rows(fields: Fields) -> pl.DataFrame:
    """Give (row, task, dataset, config, split, metric, value, value_text, verified, source), one for each metric.

    `fields` has the field `model-index`. `value` is NULL where the source gives no finite number.
    """
    results = fields.objects(SOURCE).objects("results")
    metrics = results.objects("metrics")
    tasks, datasets = results.inside("task"), results.inside("dataset")
    described = pl.DataFrame(
        {
            "task": _either(tasks, "type", "name"),
            "dataset": _either(datasets, "type", "name"),
            "config": datasets.text("config"),
            "split": datasets.text("split"),
        }
    )
    values = metrics.raw("value")
    return described[metrics.owners].with_columns(
        pl.Series("row", metrics.rows, pl.UInt32()),
        _either(metrics, "type", "name").alias("metric"),
        pl.Series("value", map(number, values), pl.Float64()),
        pl.Series("value_text", map(written, values), pl.String()),
        metrics.flag("verified"),
        pl.lit(SOURCE).alias("source"),
    )


def _either(fields: Fields, first: str, second: str) -> pl.Series:
    return fields.text(first).fill_null(fields.text(second))


def number(value: object) -> float | None:
    """Give the finite number that a value is or, if it is a text, that it spells.

    >>> number(0.5), number("93.1"), number("93.1 %"), number(True)
    (0.5, 93.1, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:  # a number to Python only
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and abs(found) <= LARGEST else None


def written(value: object) -> str | None:
    """Give a value as its source writes it."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
