"""The report's phase diagrams: the map of a population's cells with borders, and a heat map for each metric."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import altair
import polars as pl

from learners.landscape.phases.borders import borders
from learners.landscape.phases.diagram import (
    COLOURS,
    GREY,
    grid_axes,
    metric_ends,
    metric_scale,
    metric_title,
    placed,
    region_names,
)
from learners.landscape.phases.grid import Grid, grid_of
from learners.landscape.phases.population import judged_population
from learners.landscape.phases.rule import METRICS, Rule
from learners.reporting.figure import INK, PAPER, Figure, Panel, extremes, gradient, legend_of, panel, quoted
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
LABELLED = 19
"""Pixels of a cell that the name of a phase needs."""
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
            " The share in a cell, and how strong its colour is, say how often the bootstrap over seeds and pairs finds"
            " its phase; lines are the rule between the cells."
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
    base = altair.Chart(cells).encode(**axes)  # type: ignore[arg-type] # altair takes any channel
    rects = base.mark_rect().encode(
        x2="x2:Q",
        y2="y2:Q",
        color=altair.Color(
            "phase:N",
            scale=altair.Scale(domain=every, range=colours),
            legend=legend_of(every),
        ),
        opacity=_sureness(),
        tooltip=[_tip(cells, column) for column in cells.columns if column not in PLACES],
    )
    rules = (
        altair.Chart(lines)
        .mark_rule(color=INK, strokeWidth=1.5, aria=False)
        .encode(x="x:Q", y="y:Q", x2="x2:Q", y2="y2:Q")
    )
    chart = altair.LayerChart(layer=[rects, rules, *_labels(cells, names, grid)])
    return panel("Map of phases", chart, 460)


def _sureness() -> altair.Opacity:
    """How strong a phase's colour is, by its probability, with a legend."""
    scale = altair.Scale(domain=[0.5, 1], range=[0.35, 1], clamp=True)
    mark: dict[str, Any] = {"symbolType": "square", "symbolFillColor": INK, "symbolStrokeWidth": 0}
    legend = altair.Legend(
        orient="bottom", title="probability", titleOrient="left", format=".0%", values=[0.5, 0.75, 1], **mark
    )
    return altair.Opacity("probability:Q", scale=scale, legend=legend)


def _labels(cells: pl.DataFrame, names: pl.DataFrame, grid: Grid) -> list[altair.Chart]:
    """Phase and probability in each cell as far as there is room; the regions' names where there is for neither."""
    wide, high = f"width / {len(grid.columns.values)}", f"height / {len(grid.rows.values)}"
    has_phase, has_share = f"{wide} >= {LABELLED} && {high} >= 14", f"{wide} >= 40 && {high} >= 32"
    size = f"clamp({wide} / 3.4, 8, 15)"
    middle = altair.Chart(cells).encode(x="x_middle:Q", y="y_middle:Q")
    share = middle.encode(text=altair.Text("probability:Q", format=".0%"))
    return [
        *_written(altair.Chart(names).encode(x="x:Q", y="y:Q", text="phase:N"), f"!({has_phase})", "15"),
        *_written(middle.encode(text="phase:N"), has_phase, size, dy=f"({has_share}) ? -7 : 0"),
        *_written(share, has_share, "11", dy="9", weight="normal"),
    ]


def _written(
    chart: altair.Chart, shown: str, size: str, dy: str = "0", weight: Literal["normal", "bold"] = "bold"
) -> Iterator[altair.Chart]:
    """Text with a rim of the paper's colour, that stands out from every cell, where the expression `shown` holds."""
    mark: dict[str, Any] = {
        "fontSize": altair.ExprRef(size),
        "fontWeight": weight,
        "dy": altair.ExprRef(dy),
        "opacity": altair.ExprRef(f"({shown}) ? 1 : 0"),
    }
    yield chart.mark_text(**mark, stroke=PAPER, strokeWidth=3, strokeJoin="round", color=PAPER)
    yield chart.mark_text(**mark, color=INK)


def _metric(cells: pl.DataFrame, name: str, rule: Rule, grid: Grid, titles: tuple[str, str]) -> Panel:
    scale, ends = metric_scale(cells[name], rule, name), metric_ends(cells[name], rule, name)
    chart = (
        altair.Chart(cells)
        .mark_rect()
        .encode(**grid_axes(grid, titles))
        .encode(
            x2="x2:Q",
            y2="y2:Q",
            color=altair.Color(f"{name}:Q", title=None, scale=scale, legend=gradient(".2~g", ends)),
            tooltip=[_tip(cells, column) for column in (*cells.columns[:2], name, "phase")],
        )
    )
    called = {"width": titles[0], "batch_size": titles[1]}
    finding = extremes(cells.rename(called), name, list(called.values()), ".3g")
    title = metric_title(name, cells)
    return panel(title[:1].upper() + title[1:], chart, 160, finding=finding)


def _tip(rows: pl.DataFrame, column: str) -> altair.Tooltip:
    if rows.schema[column].is_numeric():
        return altair.Tooltip(f"{column}:Q", format=".4~g")
    return altair.Tooltip(f"{column}:N")
