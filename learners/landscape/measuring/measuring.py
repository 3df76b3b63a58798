"""Measures whatever a query selects and writes each figure to the lake, with settings, error, seed or reason."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import polars as pl

from learners.landscape.measuring import paired, single
from learners.landscape.measuring.group import Found, Group
from learners.landscape.measuring.metrics import METRICS, PHASE_METRICS, Metric
from learners.landscape.measuring.selected import Chosen, choose, loaded
from schemas import DataError, Lake, UsageError
from zoo.describe import Description
from zoo.mistakes import expected_one_of

Progress = Callable[[int, int, str], None]
"""Hears of groups done, groups in all, and what is measured."""

Family = Callable[..., dict[str, list[Found]]]
"""Finds several metrics of a group at once; those of pairs are told which."""

OFFERED: dict[Family, tuple[str, ...]] = {
    single.scored: ("loss", "error"),
    single.gaps: ("generalisation_gap",),
    single.curvature: ("hessian_trace", "hessian_top_eigenvalue", "hessian_smallest_eigenvalue", "extreme_ratio"),
    paired.similarity: ("cka", "biased_cka", "disagreement", "jensen_shannon"),
    paired.distances: ("l2_distance", "cosine_distance"),
    paired.curves: ("mode_connectivity", "curve_peak"),
    paired.barriers: ("linear_barrier",),
}
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
KNOWN = """
SELECT model_id FROM measurement WHERE epoch IS NULL AND settings->>'$.landscape' = $mark AND metric = $metric
"""
KNOWN_PAIRS = """
SELECT first_id, second_id FROM pair_measurement WHERE settings->>'$.landscape' = $mark AND metric = $metric
"""


def measure(
    lake: Lake,
    sql: str,
    metrics: Sequence[str] = PHASE_METRICS,
    *,
    seed: int = 0,
    description: Description | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure every model that a query selects, and pairs of them, and write what is found to the lake.

    Pairs are those of members that differ in their seeds alone, ten a cell at most; of models of no population those of
    one shape. Final weights are measured. What has been measured with the same settings and seed is not measured again.
    Members trained on noisy labels are measured on the true ones.

    Args:
        lake: Where the models are, and rows of `measurement` and `pair_measurement` go.
        sql: A query that returns `model_id`.
        metrics: Names of metrics; without it those that the rules of phases ask for.
        seed: Of probes, samples and curves.
        description: How the models are built and on what they were trained, where the lake does not know it.
        progress: Is called after each group of models of one shape.

    Returns:
        A row a metric: how many values were measured now, were known before, and could not be had.

    Raises:
        UsageError: There is no such metric; the query selects nothing; nobody knows how a model is built.
    """
    wanted = [_metric(name) for name in metrics]
    chosen = choose(lake, sql, description)
    counts: dict[str, list[int]] = {metric.name: [0, 0, 0] for metric in wanted}
    for number, group in enumerate(chosen):
        _measure_group(lake, group, wanted, seed, counts)
        if progress is not None:
            progress(number + 1, len(chosen), f"{group.description.architecture} of width {group.description.width}")
    rows = [(name, *count) for name, count in counts.items()]
    return pl.DataFrame(rows, schema=["metric", "measured", "known", "without_value"], orient="row")


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise UsageError(f"metric {name!r}: {expected_one_of(name, METRICS)}")
    return METRICS[name]


def _measure_group(lake: Lake, chosen: Chosen, wanted: list[Metric], seed: int, counts: dict[str, list[int]]) -> None:
    missing = _missing(lake, chosen, wanted, seed)
    for metric in wanted:
        keys = chosen.pairs if metric.pair else [(name,) for name in chosen.ids]
        counts[metric.name][1] += len(keys) - len(missing[metric.name])
    if not any(missing.values()):
        return
    ids = sorted({name for keys in missing.values() for key in keys for name in key})
    try:
        group = loaded(lake, chosen, ids, seed)
    except (UsageError, DataError) as error:
        reasons = {name: [(key, Found(None, reason=str(error))) for key in keys] for name, keys in missing.items()}
        _write(lake, reasons, seed, counts)
        return
    for family, names in OFFERED.items():
        asked = [metric for metric in wanted if metric.name in names and missing[metric.name]]
        if asked:
            _write(lake, _family(group, family, asked, missing), seed, counts)


Keyed = dict[str, list[tuple[tuple[str, ...], Found]]]


def _family(
    group: Group,
    family: Family,
    asked: list[Metric],
    missing: dict[str, list[tuple[str, ...]]],
) -> Keyed:
    """What a family of metrics finds, only for what is asked."""
    place = {name: number for number, name in enumerate(group.names)}
    keys = list(dict.fromkeys(key for metric in asked for key in missing[metric.name]))
    if refused := _refusal(group, asked[0]):
        return {metric.name: [(key, Found(None, reason=refused)) for key in missing[metric.name]] for metric in asked}
    if asked[0].pair:
        columns = family(group, [(place[key[0]], place[key[1]]) for key in keys])
        found = {name: dict(zip(keys, values, strict=True)) for name, values in columns.items()}
    else:
        columns = family(group)
        all_keys = [(name,) for name in group.names]
        found = {name: dict(zip(all_keys, values, strict=True)) for name, values in columns.items()}
    return {metric.name: [(key, found[metric.name][key]) for key in missing[metric.name]] for metric in asked}


def _refusal(group: Group, metric: Metric) -> str | None:
    """Why a metric cannot be had for any model of a group."""
    if type(group.module).__name__ == "PINN" and metric.split is not None:
        return f"{metric.name} needs classes, and a physics-informed network has none"
    if group.dataset.classes < 2 and metric.name.endswith("cka"):
        return f"{metric.name} needs at least two classes, the dataset has {group.dataset.classes}"
    return None


def _mark(metric: Metric, seed: int) -> str:
    """What a value depends on, as text: the same for the same settings and seed."""
    return json.dumps(
        {**metric.settings, "split": metric.split, "seed": seed if metric.random else None}, sort_keys=True
    )


def _missing(lake: Lake, chosen: Chosen, wanted: list[Metric], seed: int) -> dict[str, list[tuple[str, ...]]]:
    """By metric the models or pairs that have no row yet."""
    missing: dict[str, list[tuple[str, ...]]] = {}
    for metric in wanted:
        query = KNOWN_PAIRS if metric.pair else KNOWN
        known = set(lake.sql(query, mark=_mark(metric, seed), metric=metric.name).iter_rows())
        keys: Iterable[tuple[str, ...]] = chosen.pairs if metric.pair else ((name,) for name in chosen.ids)
        missing[metric.name] = [key for key in keys if key not in known]
    return missing


def _write(lake: Lake, keyed: Keyed, seed: int, counts: dict[str, list[int]]) -> None:
    now = datetime.now(UTC)
    with lake.write() as transaction:
        for name, values in keyed.items():
            if not values:
                continue
            metric = METRICS[name]
            columns = ["first_id", "second_id"] if metric.pair else ["model_id"]
            rows = [dict(zip(columns, key, strict=True)) | _row(metric, found, seed, now) for key, found in values]
            schema = {**dict.fromkeys(columns, pl.String), **SCHEMA}
            transaction.append("pair_measurement" if metric.pair else "measurement", pl.DataFrame(rows, schema=schema))
            without = sum(found.value is None for _, found in values)
            counts[name][0] += len(values) - without
            counts[name][2] += without


def _row(metric: Metric, found: Found, seed: int, now: datetime) -> dict[str, object]:
    return {
        "metric": metric.name,
        "split": metric.split,
        "value": found.value,
        "standard_error": found.error,
        "samples": found.samples,
        "probes": found.probes,
        "settings": json.dumps({**metric.settings, "landscape": _mark(metric, seed)}),
        "seed": seed if metric.random else None,
        "reason": found.reason,
        "measured_at": now,
    }
