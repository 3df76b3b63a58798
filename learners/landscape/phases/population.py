"""The phases of a population: measures what is missing, judges its cells, and writes them to the lake."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from warnings import catch_warnings, simplefilter

import polars as pl

from learners.landscape.measuring.measuring import NoPairWarning, measure
from learners.landscape.measuring.metrics import PHASE_METRICS, Setting, checked_settings, metric_named
from learners.landscape.phases.assigning import Judged, judge_frame
from learners.landscape.phases.axes import Held, axes_of, held_members, held_text
from learners.landscape.phases.diagram import diagram, write_diagram
from learners.landscape.phases.measured import Measured, measured
from learners.landscape.phases.rule import METRICS, Rule, load_rule
from learners.landscape.phases.sensitivity import sensitivity, sensitivity_together
from schemas import Lake, UsageError
from zoo.mistakes import expected_one_of

MEMBERS = "FROM member WHERE population_id = $population_id ORDER BY model_id"


@dataclass(frozen=True)
class PopulationPhases:
    """The phases of a population's cells.

    Attributes:
        population_id: The population.
        axes: Columns of `member` that are load and temperature.
        judged: Everything that the rule says.
        table: A row a cell.
        held: Columns of `member` that vary beside the axes, with the value of the members that count.
        measured_with: The settings of the metrics that were judged, in a line.
        notes: What makes the phases doubtful: curves that are shorter than those the rule holds for, cells whose values
            were measured in different ways.
    """

    population_id: str
    axes: tuple[str, str]
    judged: Judged
    table: pl.DataFrame
    held: Held = field(default_factory=dict)
    measured_with: str = ""
    notes: tuple[str, ...] = ()

    def sensitivity(self) -> pl.DataFrame:
        """Share of cells that keep their phase when thresholds move: a row a threshold and a step, then all of them."""
        return pl.concat([sensitivity(self.judged), sensitivity_together(self.judged)])

    def draw(self, path: str | Path) -> Path:
        """Write the phase diagram to an .svg, .png or .html file.

        Raises:
            UsageError: The ending is another one.
            OutsideError: The file cannot be written.
        """
        at = "".join(f", {name} = {value}" for name, value in self.held.items())
        title = f"{self.population_id}{at}: phases by the rule {self.judged.rule.name}"
        load, temperature = (axis.replace("_", " ") for axis in self.axes)
        return write_diagram(diagram(self.judged, title, (load, temperature), self.notes), path)


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
    with catch_warnings():
        simplefilter("ignore", NoPairWarning)  # cells without pairs say so
        measure(lake, query, PHASE_METRICS, settings=given, device=device, progress=progress)
    known = measured(lake, members, axes, given)
    judged = _judged(known, checked)
    places = members.group_by(width=pl.col(axes[0]), batch_size=pl.col(axes[1])).agg(members=pl.len().cast(pl.Int64))
    table = judged.table().drop("members")
    for more in (places, known.of_cells()):
        table = table.join(more, on=["width", "batch_size"], how="left", maintain_order="left")
    found = PopulationPhases(population_id, axes, judged, table, held, known.said(), tuple(known.notes(checked)))
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
    return _judged(measured(lake, members, axes, settings), rule), axes


def _judged(known: Measured, rule: Rule) -> Judged:
    return judge_frame(known.frame, rule, models=("first_id", "second_id"), units="points")


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
    metrics = [name for name in METRICS if name in table.columns]
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
        *metrics,
        pl.lit(limits).alias("thresholds"),
        pl.lit(json.dumps(dict(settings))).alias("settings"),
        pl.lit(held_text(found.held), pl.String).alias("held"),
        "measured_with",
        pl.lit(now).alias("judged_at"),
    )
