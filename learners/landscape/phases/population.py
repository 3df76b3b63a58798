"""The phases of a population: measures what is missing, judges its cells, and writes them to the lake."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log10
from pathlib import Path

import polars as pl

from learners.landscape.measuring.measuring import measure
from learners.landscape.measuring.metrics import (
    PHASE_METRICS,
    Setting,
    checked_settings,
    metric_named,
    with_settings,
)
from learners.landscape.measuring.recording import mark_of
from learners.landscape.phases.assigning import Judged, judge_frame
from learners.landscape.phases.diagram import diagram, write_diagram
from learners.landscape.phases.rule import METRICS, Rule, load_rule
from learners.landscape.phases.sensitivity import sensitivity
from schemas import Lake, UsageError
from zoo.mistakes import expected_one_of

LOADS = ("width", "depth", "label_noise", "data_fraction")
TEMPERATURES = ("batch_size", "learning_rate", "weight_decay", "epochs")

MEMBERS = "FROM member WHERE population_id = $population_id"
VALUE = """
coalesce(max_by(value, measured_at) FILTER (settings->>'$.landscape' = asked.mark), max_by(value, measured_at)) AS value
"""
ASKED = "(SELECT unnest($names) AS metric, unnest($marks) AS mark) AS asked"
SINGLE = f"""
SELECT model_id, metric, {VALUE} FROM measurement JOIN {ASKED} USING (metric)
WHERE model_id IN (SELECT model_id FROM member WHERE population_id = $population_id)
AND epoch IS NULL AND split = 'train' GROUP BY ALL
"""  # noqa: S608 - our words
PAIRS = f"""
SELECT first_id AS model_id, second_id, metric, {VALUE} FROM pair_measurement JOIN {ASKED} USING (metric)
WHERE first_id IN (SELECT model_id FROM member WHERE population_id = $population_id) GROUP BY ALL
"""  # noqa: S608 - our words
USED = ("loss", "error", "hessian_trace"), ("cka", "mode_connectivity")
"""Metrics of models and of pairs that become columns."""
CANONICAL = {"loss": "train_loss", "error": "train_error"}


@dataclass(frozen=True)
class PopulationPhases:
    """The phases of a population's cells.

    Attributes:
        population_id: The population.
        axes: Columns of `member` that are load and temperature.
        judged: Everything that the rule says.
        table: A row a cell.
    """

    population_id: str
    axes: tuple[str, str]
    judged: Judged
    table: pl.DataFrame

    def sensitivity(self) -> pl.DataFrame:
        """Share of cells that keep their phase when one threshold moves, a row a threshold and a step of it."""
        return sensitivity(self.judged)

    def draw(self, path: str | Path) -> Path:
        """Write the phase diagram to an .svg, .png or .html file.

        Raises:
            UsageError: The ending is another one.
            OutsideError: The file cannot be written.
        """
        title = f"{self.population_id}: phases by the rule {self.judged.rule.name}"
        return write_diagram(diagram(self.judged, title, (self.axes[0], self.axes[1])), path)


def phases_of_population(
    lake: Lake,
    population: str,
    rule: str | Path | Rule = "taxonomy",
    progress: Callable[[int, int, str], None] | None = None,
    settings: Mapping[str, Setting] | None = None,
) -> PopulationPhases:
    """Measure what the rule asks for, where that is not done, and give each cell of a population's grid its phase.

    Args:
        lake: Where the population is, and measurements, phases and the rule go.
        population: A population_id, or the name of a recipe of which one population is there.
        rule: As in `assign_phases`.
        progress: As in `measure`.
        settings: As in `measure`.

    Raises:
        UsageError: There is no such population or rule, or its members have no grid of two axes.
    """
    checked = load_rule(rule)
    population_id = population_named(lake, population)
    members = lake.sql(MEMBERS, population_id=population_id)
    axes = _axes(members, population_id)
    quoted = population_id.replace("'", "''")
    query = f"SELECT model_id FROM member WHERE population_id = '{quoted}'"  # noqa: S608 - quoted
    given = checked_settings(map(metric_named, PHASE_METRICS), settings or {})
    measure(lake, query, PHASE_METRICS, settings=given, progress=progress)
    judged = judge_frame(metrics_of_members(lake, population_id, members, axes, given), checked)
    places = members.group_by(width=pl.col(axes[0]), batch_size=pl.col(axes[1])).agg(members=pl.len().cast(pl.Int64))
    table = judged.table().drop("members").join(places, on=["width", "batch_size"], maintain_order="left")
    found = PopulationPhases(population_id, axes, judged, table)
    _store(lake, found, given)
    return found


def judged_population(
    lake: Lake, population_id: str, rule: Rule, settings: Mapping[str, Setting]
) -> tuple[Judged, tuple[str, str]]:
    """Judge a population by what is in the lake; nothing is measured or written. Gives its axes, too.

    Raises:
        UsageError: Its members have no grid of two axes.
    """
    members = lake.sql(MEMBERS, population_id=population_id)
    axes = _axes(members, population_id)
    return judge_frame(metrics_of_members(lake, population_id, members, axes, settings), rule), axes


def population_named(lake: Lake, name: str) -> str:
    """Give the id of a population of that id, or of the only one of a recipe of that name.

    Raises:
        UsageError: There is none, or several have the name.
    """
    known = lake.sql("SELECT population_id, name FROM population ORDER BY ALL")
    ids: list[str] = known["population_id"].to_list()
    named = known.filter(pl.col("name") == name)["population_id"].to_list()
    if name in ids:
        return name
    if len(named) == 1:
        return str(named[0])
    if named:
        raise UsageError(f"population {name!r}: several have that name; expected one of: {', '.join(named)}")
    raise UsageError(f"population {name!r}: {expected_one_of(name, ids) if ids else 'the lake has none; build one'}")


def _axes(members: pl.DataFrame, population_id: str) -> tuple[str, str]:
    """The first load and the first temperature that vary."""
    varied = [[name for name in names if members[name].n_unique() > 1] for names in (LOADS, TEMPERATURES)]
    if members.is_empty() or not all(varied):
        what = "load" if not varied[0] else "temperature"
        names = ", ".join(LOADS if what == "load" else TEMPERATURES)
        raise UsageError(f"population {population_id} varies no {what} ({names}); a phase diagram needs both")
    return varied[0][0], varied[1][0]


def metrics_of_members(
    lake: Lake, population_id: str, members: pl.DataFrame, axes: Sequence[str], settings: Mapping[str, Setting]
) -> pl.DataFrame:
    """The measurements of a population in canonical columns: a row a member, and a row a pair.

    Of a metric that was measured in several ways that with these settings counts; else the newest.
    """
    places = members.select("model_id", width=pl.col(axes[0]), batch_size=pl.col(axes[1]))
    single, pairs = (
        lake.sql(
            query,
            population_id=population_id,
            names=list(names),
            marks=[mark_of(with_settings(metric_named(name), settings), seed=0) for name in names],
        )
        for query, names in zip((SINGLE, PAIRS), USED, strict=True)
    )
    own = single.pivot(on="metric", index="model_id", values="value") if not single.is_empty() else places[["model_id"]]
    both = pairs.pivot(on="metric", index=["model_id", "second_id"], values="value") if not pairs.is_empty() else None
    frame = places.join(own, on="model_id", how="left")
    if both is not None:
        frame = pl.concat([frame, places.join(both.drop("second_id"), on="model_id")], how="diagonal")
    if "hessian_trace" in frame.columns:
        logarithm = pl.col("hessian_trace").map_elements(_logarithm, return_dtype=pl.Float64)
        frame = frame.with_columns(log_hessian_trace=logarithm)
    return frame.rename({old: new for old, new in CANONICAL.items() if old in frame.columns})


def _logarithm(trace: float) -> float | None:
    return log10(trace) if trace > 0 else None


def _store(lake: Lake, found: PopulationPhases, settings: Mapping[str, Setting]) -> None:
    rule, now = found.judged.rule, datetime.now(UTC)
    known = lake.sql("FROM phase_rule WHERE sha256 = $sha", sha=rule.sha256)
    content = {"rule": rule.name, "version": rule.version, "sha256": rule.sha256, "content": rule.model_dump_json()}
    with lake.write() as transaction:
        if known.is_empty():
            transaction.append("phase_rule", pl.DataFrame([content | {"added_at": now}]))
        transaction.sql(
            "DELETE FROM cell_phase WHERE population_id = $population_id AND rule = $rule",
            population_id=found.population_id,
            rule=rule.name,
        )
        transaction.append("cell_phase", _rows(found, settings, now))


def _rows(found: PopulationPhases, settings: Mapping[str, Setting], now: datetime) -> pl.DataFrame:
    judged, table = found.judged, found.table
    shares = [
        json.dumps({label: float(share[cell]) for label, share in judged.probabilities.items()})
        for cell in range(table.height)
    ]
    limits = json.dumps({name: {"at": t.at, "found": t.found} for name, t in judged.thresholds.items()})
    measured = [name for name in METRICS if name in table.columns]
    return table.select(
        pl.lit(found.population_id).alias("population_id"),
        pl.lit(judged.rule.name).alias("rule"),
        pl.lit(judged.rule.sha256).alias("rule_sha256"),
        pl.lit(found.axes[0]).alias("load_axis"),
        pl.col("width").cast(pl.Float64).alias("load"),
        pl.lit(found.axes[1]).alias("temperature_axis"),
        pl.col("batch_size").cast(pl.Float64).alias("temperature"),
        "members",
        "phase",
        "probability",
        pl.Series("probabilities", shares),
        "distance",
        "nearest",
        *measured,
        pl.lit(limits).alias("thresholds"),
        pl.lit(json.dumps(dict(settings))).alias("settings"),
        pl.lit(now).alias("judged_at"),
    )
