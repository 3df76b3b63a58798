"""Draws a phase diagram: the map of phases with borders and uncertainty, and a heat map for each metric."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from textwrap import wrap

import altair
import numpy as np
import polars as pl

from learners.landscape.phases.assigning import Judged
from learners.landscape.phases.borders import borders
from learners.landscape.phases.columns import AXES
from learners.landscape.phases.grid import Axis, Grid, grid_of
from learners.landscape.phases.regions import regions
from learners.landscape.phases.rule import METRICS, Rule
from learners.written_chart import write_chart
from schemas.errors import UsageError

COLOURS = ("#d55e00", "#e69f00", "#56b4e9", "#9b7fc7", "#009e73", "#cc79a7", "#0072b2")
GREY, EMPTY = "#bdbdbd", "#eeeeee"
SIZE = 420
SMALL = 150
LINE = 80
SMALLEST_NAMED = 3
TITLES = {
    "train_loss": "training loss",
    "train_error": "training error (percentage points)",
    "mode_connectivity": "mode connectivity (percentage points)",
    "cka": "CKA",
    "log_hessian_trace": "log10 Hessian trace",
}
OF_CLASSES = ("train_error", "mode_connectivity", "cka")
"""What networks without classes have not; the loss of those that have it is in nats."""


def diagram(
    judged: Judged,
    title: str = "Phase diagram",
    axes: tuple[str, str] = ("width", "batch size"),
    notes: Sequence[str] = (),
) -> altair.HConcatChart:
    """Draw the cells of a grid, coloured by phase, paler where a phase is less sure, with borders and heat maps.

    Args:
        judged: What the rule says of the cells.
        title: Above the map.
        axes: What the axes are called, load first.
        notes: Sentences that stand below the title.

    Raises:
        UsageError: The cells lie on no grid: they have no width and batch size.
    """
    grid = grid_of(judged.cells.axes)
    if grid is None:
        raise UsageError("there is no grid to draw: expected the columns width and batch_size, numbers in each row")
    rows = placed(judged.table(), grid)
    chart = altair.hconcat(
        _map(judged, grid, rows, title, axes, notes), _heat_maps(judged, grid, rows, axes), spacing=30
    )
    whole: altair.HConcatChart = chart.resolve_scale(color="independent", opacity="independent")
    drawn: altair.HConcatChart = whole.configure_view(stroke=None)
    return drawn


def write_diagram(chart: altair.HConcatChart, path: str | Path) -> Path:
    """Write a drawing as SVG, PNG or HTML, by the ending of `path`; errors as in `write_chart`."""
    return write_chart(chart, path)


def placed(table: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """The cells with the corners of their rectangles and their middles."""
    corners = []
    for name, axis, short in zip(AXES, (grid.rows, grid.columns), ("y", "x"), strict=True):
        place = {value: number for number, value in enumerate(axis.values)}
        numbers = [place[float(value)] for value in table[name]]
        corners += [
            pl.Series(short, axis.edges[numbers]),
            pl.Series(f"{short}2", axis.edges[[number + 1 for number in numbers]]),
            pl.Series(f"{short}_middle", axis.positions[numbers]),
        ]
    return table.with_columns(corners)


def _map(
    judged: Judged, grid: Grid, rows: pl.DataFrame, title: str, axes: tuple[str, str], notes: Sequence[str]
) -> altair.LayerChart:
    labels = [*judged.rule.labels, *sorted(set(rows["phase"]) - set(judged.rule.labels))]
    colours = [*COLOURS[: len(judged.rule.labels)], *[GREY] * (len(labels) - len(judged.rule.labels))]
    tooltip = [column for column in rows.columns if column not in ("x", "x2", "y", "y2", "x_middle", "y_middle")]
    base = altair.Chart(rows).encode(**grid_axes(grid, axes))  # type: ignore[arg-type] # altair takes any channel
    cells = base.mark_rect().encode(
        x2="x2:Q",
        y2="y2:Q",
        color=altair.Color("phase:N", title="phase", sort=labels, scale=altair.Scale(domain=labels, range=colours)),
        opacity=altair.Opacity(
            "probability:Q", title="probability", scale=altair.Scale(domain=[0.5, 1], range=[0.35, 1], clamp=True)
        ),
        tooltip=[_tip(rows, column) for column in tooltip],
    )
    lines = (
        altair.Chart(borders(judged, grid))
        .mark_rule(color="black", strokeWidth=1.5, aria=False)
        .encode(x="x:Q", y="y:Q", x2="x2:Q", y2="y2:Q")
    )
    says = ["Paler where the bootstrap is less sure.", "Lines: the rule on metrics interpolated between the cells."]
    says += [line for note in notes for line in wrap(note, LINE)]
    names = (
        altair.Chart(region_names(judged, grid))
        .mark_text(fontSize=15, fontWeight="bold")
        .encode(x="x:Q", y="y:Q", text="phase:N")
    )
    chart: altair.LayerChart = cells + lines + names
    return chart.properties(width=SIZE, height=SIZE, title=altair.Title(title, subtitle=says, anchor="start"))


def region_names(judged: Judged, grid: Grid) -> pl.DataFrame:
    """Where the names of the larger regions stand: at the cell in their middle."""
    region = regions(grid, judged.verdicts.phase)
    rows = []
    for number in range(int(region.max()) + 1):
        cells = np.flatnonzero(region == number)
        places = np.array([np.argwhere(grid.cell == cell)[0] for cell in cells])
        if len(cells) >= SMALLEST_NAMED:
            middle = places[np.abs(places - np.median(places, axis=0)).sum(axis=1).argmin()]
            x, y = grid.columns.positions[middle[1]], grid.rows.positions[middle[0]]
            rows.append({"x": x, "y": y, "phase": judged.verdicts.phase[cells[0]]})
    return pl.DataFrame(rows, schema={"x": pl.Float64, "y": pl.Float64, "phase": pl.String})


def _heat_maps(judged: Judged, grid: Grid, rows: pl.DataFrame, axes: tuple[str, str]) -> altair.ConcatChart:
    shown = [name for name in METRICS if name in rows.columns and rows[name].is_not_null().any()]
    maps = [_heat_map(judged, grid, rows, name, axes) for name in shown]
    chart: altair.ConcatChart = altair.concat(*maps, columns=2 if len(maps) <= 4 else 3).resolve_scale(
        color="independent"
    )
    return chart


def metric_title(name: str, cells: pl.DataFrame) -> str:
    """What a metric of cells is called, with its unit: that of a loss is nats where it is one of classes.

    >>> metric_title("train_loss", pl.DataFrame({"train_loss": [0.1], "cka": [0.9]}))
    'training loss (nats)'
    >>> metric_title("train_loss", pl.DataFrame({"train_loss": [0.1], "cka": [None]}))
    'training loss'
    """
    classes = any(cells[other].is_not_null().any() for other in OF_CLASSES if other in cells.columns)
    return TITLES[name] + (" (nats)" if name == "train_loss" and classes else "")


def metric_scale(values: pl.Series, rule: Rule, name: str) -> altair.Scale:
    """Colours of a metric: two ways from 0 where the rule tells its signs apart, logarithmic where the rule is so."""
    ends = metric_ends(values, rule, name)
    return altair.Scale(
        scheme="blueorange" if _is_diverging(rule, name) else "viridis",
        type="log" if _is_logarithmic(values, rule, name) else "linear",
        **({"domain": [ends[0], ends[-1]]} if ends else {}),  # type: ignore[arg-type] # absent where nothing is known
    )


def metric_ends(values: pl.Series, rule: Rule, name: str) -> list[float]:
    """What the bar of a metric's colours is labelled with: its ends, and its middle; nothing where all is one."""
    known = [float(value) for value in values.drop_nulls().drop_nans()]
    lowest, highest = min(known, default=0.0), max(known, default=0.0)
    if _is_diverging(rule, name):
        highest = max(abs(lowest), abs(highest))
        lowest = -highest
    if lowest == highest:
        return []
    logarithmic = _is_logarithmic(values, rule, name)
    return [lowest, sqrt(lowest * highest) if logarithmic else (lowest + highest) / 2, highest]


def _is_diverging(rule: Rule, name: str) -> bool:
    return name in rule.metrics and rule.metrics[name].tolerance is not None


def _is_logarithmic(values: pl.Series, rule: Rule, name: str) -> bool:
    known = values.drop_nulls().drop_nans()
    return name in rule.metrics and rule.metrics[name].scale == "log" and bool((known > 0).all())


def _heat_map(judged: Judged, grid: Grid, rows: pl.DataFrame, name: str, axes: tuple[str, str]) -> altair.Chart:
    chart: altair.Chart = (
        altair.Chart(rows)
        .mark_rect()
        .encode(**grid_axes(grid, axes))
        .encode(
            x2="x2:Q",
            y2="y2:Q",
            color=altair.Color(
                f"{name}:Q",
                title=None,
                scale=metric_scale(rows[name], judged.rule, name),
                legend=altair.Legend(format=".2~g", values=metric_ends(rows[name], judged.rule, name)),
            ),
            tooltip=[_tip(rows, column) for column in (*AXES, name, "phase")],
        )
        .properties(width=SMALL, height=SMALL, title=metric_title(name, rows), view=altair.ViewBackground(fill=EMPTY))
    )
    return chart


def grid_axes(grid: Grid, axes: tuple[str, str]) -> dict[str, altair.X | altair.Y]:
    """Give the channels x and y of a grid, called `axes`, load first."""
    return {
        "x": altair.X("x:Q", title=axes[1], axis=_axis(grid.columns), scale=_scale(grid.columns)),
        "y": altair.Y("y:Q", title=axes[0], axis=_axis(grid.rows), scale=_scale(grid.rows)),
    }


def _scale(axis: Axis) -> altair.Scale:
    return altair.Scale(domain=[axis.edges[0], axis.edges[-1]], zero=False, nice=False)


def _axis(axis: Axis) -> altair.Axis:
    """Ticks at the cells, labelled with their values: on a logarithmic axis powers of two of the positions."""
    values = axis.positions.tolist()
    if min(axis.values) > 0:
        expression = "format(pow(2, datum.value), '.4~g')"
    else:
        expression = f"{[f'{value:g}' for value in axis.values]}[datum.value]"
    return altair.Axis(values=values, labelExpr=expression, labelOverlap=True, grid=False, labelAngle=0)


def _tip(rows: pl.DataFrame, column: str) -> altair.Tooltip:
    kind = rows.schema[column]
    if not kind.is_numeric():
        return altair.Tooltip(f"{column}:N")
    return altair.Tooltip(f"{column}:Q", format=".4~g")
