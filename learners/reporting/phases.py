"""The report's phase diagrams: the map of a population's cells with borders, and a heat map for each metric."""

import json
from dataclasses import dataclass
from typing import Any

import altair
import polars as pl

from learners.landscape.phases.borders import borders
from learners.landscape.phases.diagram import COLOURS, GREY, TITLES, grid_axes, metric_scale, placed, region_names
from learners.landscape.phases.grid import Grid, grid_of
from learners.landscape.phases.population import judged_population
from learners.landscape.phases.rule import METRICS, Rule
from learners.reporting.figure import INK, PAPER, Figure, Panel, gradient, legend_of, panel, quoted
from schemas import Lake, UsageError

JUDGED = """
SELECT phase_rule.rule, content, coalesce(any_value(settings), '{}') AS settings,
    max(cell_phase.judged_at) AS judged_at, coalesce(held::VARCHAR, '{}') AS held
FROM cell_phase JOIN phase_rule ON phase_rule.sha256 = cell_phase.rule_sha256
WHERE population_id = $population_id GROUP BY ALL ORDER BY judged_at DESC
"""
CELLS = """
FROM phases WHERE population_id = {population} AND rule = {rule} AND coalesce(held::VARCHAR, '{{}}') = {held}
ORDER BY load DESC, temperature
""".strip()
PLACES = ("x", "x2", "y", "y2", "x_middle", "y_middle")


@dataclass(frozen=True)
class PhaseMap:
    """A phase diagram, its rule, the columns of `member` that are its axes, what is held, and the phases' colours."""

    rule: str
    held: str
    """As JSON: columns of `member` that vary beside the axes, and the value that counts."""
    axes: tuple[str, str]
    colours: dict[str, str]
    figure: Figure


def phase_maps(lake: Lake, population_id: str) -> list[PhaseMap]:
    """A diagram for each rule by which a population was judged, the newest first."""
    found = []
    for name, content, settings, _, held in lake.sql(JUDGED, population_id=population_id).iter_rows():
        try:
            rule = Rule.model_validate_json(content)
            judged, axes = judged_population(lake, population_id, rule, json.loads(settings), json.loads(held))
        except UsageError:  # its members or measurements are gone
            continue
        grid = grid_of(judged.cells.axes)
        if grid is None:
            continue
        titles = (axes[0].replace("_", " "), axes[1].replace("_", " "))
        sql = CELLS.format(population=quoted(population_id), rule=quoted(name), held=quoted(held))
        rows = lake.sql(sql)
        cells = placed(judged.table(), grid)
        map_ = _map(cells, borders(judged, grid), region_names(judged, grid), list(rule.labels), grid, titles)
        maps = [_metric(cells, metric, rule, grid, titles) for metric in METRICS if _has(cells, metric)]
        counted = rows.group_by("phase").len().sort("len", "phase", descending=[True, False])
        finding = f"Of {rows.height} cells: {', '.join(f'{count} in {phase}' for phase, count in counted.iter_rows())}."
        says = (
            f"By the rule {name}, from training loss, mode connectivity, CKA and the Hessian's trace, and no accuracy."
            " Paler where the bootstrap over seeds and pairs is less sure; lines are the rule between the cells."
        )
        at = "".join(f", {axis.replace('_', ' ')} {value}" for axis, value in json.loads(held).items())
        figure = Figure(f"Phases{at}", says, finding, sql, rows, (map_, *maps), layout="lead")
        found.append(PhaseMap(name, held, axes, dict(zip(rule.labels, COLOURS, strict=False)), figure))
    return found


def _has(cells: pl.DataFrame, metric: str) -> bool:
    return metric in cells.columns and bool(cells[metric].is_not_null().any())


def _map(
    cells: pl.DataFrame,
    lines: pl.DataFrame,
    names: pl.DataFrame,
    labels: list[str],
    grid: Grid,
    titles: tuple[str, str],
) -> Panel:
    every = [*labels, *sorted(set(cells["phase"]) - set(labels))]
    colours = [*COLOURS[: len(labels)], *[GREY] * (len(every) - len(labels))]
    axes = grid_axes(grid, titles)
    scale = altair.Scale(domain=[0.5, 1], range=[0.35, 1], clamp=True)
    base = altair.Chart(cells).encode(**axes)  # type: ignore[arg-type] # altair takes any channel
    rects = base.mark_rect().encode(
        x2="x2:Q",
        y2="y2:Q",
        color=altair.Color(
            "phase:N",
            scale=altair.Scale(domain=every, range=colours),
            legend=legend_of(every),
        ),
        opacity=altair.Opacity("probability:Q", scale=scale, legend=None),
        tooltip=[_tip(cells, column) for column in cells.columns if column not in PLACES],
    )
    rules = altair.Chart(lines).mark_rule(color=INK, strokeWidth=1.5).encode(x="x:Q", y="y:Q", x2="x2:Q", y2="y2:Q")
    mark: dict[str, Any] = {"fontSize": 15, "fontWeight": "bold"}
    text = altair.Chart(names).encode(x="x:Q", y="y:Q", text="phase:N")
    halo = text.mark_text(**mark, stroke=PAPER, strokeWidth=4, strokeJoin="round", color=PAPER)
    return panel("Map of phases", rects + rules + halo + text.mark_text(**mark, color=INK), 430)


def _metric(cells: pl.DataFrame, name: str, rule: Rule, grid: Grid, titles: tuple[str, str]) -> Panel:
    scale = metric_scale(cells[name], rule, name)
    chart = (
        altair.Chart(cells)
        .mark_rect()
        .encode(**grid_axes(grid, titles))
        .encode(
            x2="x2:Q",
            y2="y2:Q",
            color=altair.Color(f"{name}:Q", title=None, scale=scale, legend=gradient(".2~g")),
            tooltip=[_tip(cells, column) for column in (*cells.columns[:2], name, "phase")],
        )
    )
    return panel(TITLES[name][:1].upper() + TITLES[name][1:], chart, 160)


def _tip(rows: pl.DataFrame, column: str) -> altair.Tooltip:
    if rows.schema[column].is_numeric():
        return altair.Tooltip(f"{column}:Q", format=".4~g")
    return altair.Tooltip(f"{column}:N")
