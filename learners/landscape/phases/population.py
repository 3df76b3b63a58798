"""The phases of a population: measures what is missing, judges its cells, and writes them to the lake."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from learners.landscape.measuring.trained_on import WHOLE, trained_on
from learners.landscape.phases.assigning import Judged, judge_frame
from learners.landscape.phases.axes import Held, axes_of, held_members, held_text
from learners.landscape.phases.diagram import diagram, write_diagram
from learners.landscape.phases.rule import METRICS, Rule, load_rule
from learners.landscape.phases.sensitivity import sensitivity
from schemas import Lake, UsageError
from zoo.mistakes import expected_one_of

MEMBERS = "FROM member WHERE population_id = $population_id ORDER BY model_id"
VALUE = """
coalesce(max_by(value, measured_at) FILTER (settings->>'$.landscape' = asked.mark),
    max_by(value, measured_at)) AS value
"""
ASKED = "(SELECT unnest($names) AS metric, unnest($marks) AS mark) AS asked"
SINGLE = f"""
SELECT model_id AS first_id, metric, {VALUE} FROM measurement JOIN {ASKED} USING (metric)
WHERE model_id IN (SELECT unnest($ids)) AND epoch IS NULL AND split = 'train' GROUP BY ALL
"""  # noqa: S608 - our words
PAIRS = f"""
SELECT first_id, second_id, metric, {VALUE} FROM pair_measurement JOIN {ASKED} USING (metric)
WHERE first_id IN (SELECT unnest($ids)) AND second_id IN (SELECT unnest($ids)) GROUP BY ALL
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
        held: Columns of `member` that vary beside the axes, with the value of the members that count.
    """

    population_id: str
    axes: tuple[str, str]
    judged: Judged
    table: pl.DataFrame
    held: Held = field(default_factory=dict)

    def sensitivity(self) -> pl.DataFrame:
        """Share of cells that keep their phase when one threshold moves, a row a threshold and a step of it."""
        return sensitivity(self.judged)

    def draw(self, path: str | Path) -> Path:
        """Write the phase diagram to an .svg, .png or .html file.

        Raises:
            UsageError: The ending is another one.
            OutsideError: The file cannot be written.
        """
        at = "".join(f", {name} = {value}" for name, value in self.held.items())
        title = f"{self.population_id}{at}: phases by the rule {self.judged.rule.name}"
        return write_diagram(diagram(self.judged, title, (self.axes[0], self.axes[1])), path)


def phases_of_population(
    lake: Lake,
    population: str,
    rule: str | Path | Rule = "taxonomy",
    progress: Callable[[int, int, str], None] | None = None,
    settings: Mapping[str, Setting] | None = None,
    at: Mapping[str, object] | None = None,
    device: str = "auto",
) -> PopulationPhases:
    """Measure what the rule asks for, where that is not done, and give each cell of a population's grid its phase.

    Args:
        lake: Where the population is, and measurements, phases and the rule go.
        population: A population_id, or the name of a recipe of which one population is there.
        rule: As in `assign_phases`.
        progress: As in `measure`.
        settings: As in `measure`.
        at: Values of what varies beside the two axes, {"label_noise": 0.2}: those members count.
        device: As in `measure`.

    Raises:
        UsageError: There is no such population or rule, its members have no grid of two axes, or they vary in more.
    """
    checked = load_rule(rule)
    population_id = population_named(lake, population)
    members, held = held_members(lake.sql(MEMBERS, population_id=population_id), population_id, at or {})
    axes = axes_of(members, population_id)
    listed = ", ".join("'" + str(name).replace("'", "''") + "'" for name in members["model_id"])
    query = f"SELECT unnest([{listed}]) AS model_id"
    given = checked_settings(map(metric_named, PHASE_METRICS), settings or {})
    measure(lake, query, PHASE_METRICS, settings=given, device=device, progress=progress)
    judged = _judged(lake, members, axes, given, checked)
    places = members.group_by(width=pl.col(axes[0]), batch_size=pl.col(axes[1])).agg(members=pl.len().cast(pl.Int64))
    table = judged.table().drop("members").join(places, on=["width", "batch_size"], maintain_order="left")
    found = PopulationPhases(population_id, axes, judged, table, held)
    _store(lake, found, given)
    return found


def judged_population(
    lake: Lake, population_id: str, rule: Rule, settings: Mapping[str, Setting], held: Mapping[str, object]
) -> tuple[Judged, tuple[str, str]]:
    """Judge a population by what is in the lake; nothing is measured or written. Gives its axes, too.

    Raises:
        UsageError: Its members have no grid of two axes.
    """
    members, _ = held_members(lake.sql(MEMBERS, population_id=population_id), population_id, held)
    axes = axes_of(members, population_id)
    return _judged(lake, members, axes, settings, rule), axes


def _judged(
    lake: Lake, members: pl.DataFrame, axes: Sequence[str], settings: Mapping[str, Setting], rule: Rule
) -> Judged:
    return judge_frame(metrics_of_members(lake, members, axes, settings), rule, models=("first_id", "second_id"))


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


def metrics_of_members(
    lake: Lake, members: pl.DataFrame, axes: Sequence[str], settings: Mapping[str, Setting]
) -> pl.DataFrame:
    """The measurements of members in canonical columns: a row a member, and a row a pair; their names in two more.

    Of a metric that was measured in several ways that with these settings counts; else the newest.
    """
    ids = members["model_id"].to_list()
    places = members.select(first_id="model_id", width=pl.col(axes[0]), batch_size=pl.col(axes[1]))
    seen = {str(one.mark): one.mark for one in (WHOLE, *trained_on(lake, ids).values())}.values()
    frames = []
    for query, names in zip((SINGLE, PAIRS), USED, strict=True):
        marks = {
            name: [mark_of(with_settings(metric_named(name), settings), 0, seen=one) for one in seen] for name in names
        }
        asked = [(name, mark) for name, each in marks.items() for mark in each]
        rows = lake.sql(query, ids=ids, names=[name for name, _ in asked], marks=[mark for _, mark in asked])
        keys = [name for name in rows.columns if name.endswith("_id")]
        if not rows.is_empty():
            frames.append(places.join(rows.pivot(on="metric", index=keys, values="value"), on="first_id"))
    frame = pl.concat([places.with_columns(second_id=pl.lit(None, pl.String)), *frames], how="diagonal")
    if "hessian_trace" in frame.columns:
        logarithm = pl.col("hessian_trace").map_elements(_logarithm, return_dtype=pl.Float64)
        frame = frame.with_columns(log_hessian_trace=logarithm)
    ordered = frame.sort(frame.columns)  # the bootstrap draws by place
    return ordered.rename({old: new for old, new in CANONICAL.items() if old in frame.columns})


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
            "DELETE FROM cell_phase WHERE population_id = $population_id AND rule = $rule "
            "AND held IS NOT DISTINCT FROM $held::JSON",
            population_id=found.population_id,
            rule=rule.name,
            held=held_text(found.held),
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
        pl.lit(held_text(found.held), pl.String).alias("held"),
        pl.lit(now).alias("judged_at"),
    )
