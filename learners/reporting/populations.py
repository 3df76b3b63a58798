"""The report on a trained population: accuracy over its grid, its phases, and its training curves by phase."""

import json
from math import isfinite

import altair
import polars as pl

from learners.reporting.axes import Grid, grid_of_population
from learners.reporting.figure import Figure, Panel, Section, extremes, heat_map, panel, quoted
from learners.reporting.phases import PhaseMap, phase_maps
from schemas import Lake

POPULATIONS = """
SELECT population_id, name, architecture, dataset, members AS members_asked, state FROM population
{where} ORDER BY created_at DESC, population_id
"""
GRID = """
SELECT {axes}, sum({metric} * trained) / nullif(sum(trained), 0) AS {metric},
    sum(train_loss * trained) / nullif(sum(trained), 0) AS train_loss,
    sum(trained)::BIGINT AS trained, sum(diverged + failed)::BIGINT AS not_trained
FROM cells WHERE population_id = {population} AND {known}
GROUP BY ALL ORDER BY ALL
"""
MEMBERS = "SELECT count(*) FROM member WHERE population_id = {population}"
METRIC = """
SELECT metric, max(epoch) AS epochs FROM training JOIN member USING (model_id)
WHERE population_id = {population} AND split = 'validation' AND metric IN ('accuracy', 'loss')
GROUP BY ALL ORDER BY metric LIMIT 1
"""
CURVES = """
SELECT {phase} AS phase, {axes}, epoch, avg(value) AS {metric}
FROM training JOIN member USING (model_id){joined}
WHERE member.population_id = {population} AND split = 'validation' AND metric = '{metric}'
    AND epoch % {step} = {epochs} % {step} AND {known}
GROUP BY ALL ORDER BY ALL
"""
JOINED = """
JOIN cell_phase ON cell_phase.population_id = member.population_id AND cell_phase.rule = {rule}
    AND load = member.{load} AND temperature = member.{temperature}
    AND coalesce(cell_phase.held::VARCHAR, '{{}}') = {held}{held_members}"""
MOST_EPOCHS = 40  # points of a curve
MOST_CELLS = 100  # curves of a figure


def population_sections(lake: Lake, population_id: str | None, most: int) -> tuple[list[Section], int]:
    """A section for each population, the newest `most`; also gives how many there are."""
    where = "" if population_id is None else f"WHERE population_id = {quoted(population_id)}"
    rows = lake.sql(POPULATIONS.format(where=where))
    return [_section(lake, row) for row in rows.head(most).rows(named=True)], rows.height


def _section(lake: Lake, row: dict[str, object]) -> Section:
    name = str(row["population_id"])
    asked = f"the recipe asks for {_many(row['members_asked'])}"
    says = f"{row['architecture']} on {row['dataset']}; {asked}; {row['state']}."
    grid = grid_of_population(lake, name)
    maps = phase_maps(lake, name)
    figures = [*_accuracy(lake, grid), *(each.figure for each in maps), *_curves(lake, grid, maps)]
    return Section(f"Population {name}", figures, says)


def _accuracy(lake: Lake, grid: Grid) -> list[Figure]:
    """Test accuracy over the two axes that vary, or over the one; test loss where accuracy is not defined."""
    if not grid.axes:
        return []
    for metric, name in (("test_accuracy", "Accuracy"), ("test_loss", "Loss")):
        sql = GRID.format(
            axes=", ".join(axis.sql() for axis in grid.axes),
            metric=metric,
            population=quoted(grid.population_id),
            known=" AND ".join(f"{column} IS NOT NULL" for column in grid.columns),
        ).strip()
        rows = lake.sql(sql)
        known = rows.filter(pl.col(metric).is_finite())
        if not known.is_empty():
            rises = f" Load rises upwards, with {grid.axes[0].words}." if len(grid.axes) == 2 else ""
            says = f"Means over seeds.{rises}{grid.bins}"
            title = f"{name} over {grid.words}"
            panels = _grid_panels(known, grid, metric, f"Test {name.lower()}")
            return [Figure(title, says, _best(known, rows, metric, grid), sql, rows, panels)]
    return []


def _best(known: pl.DataFrame, rows: pl.DataFrame, metric: str, grid: Grid) -> str:
    best = known.sort(metric, descending=metric == "test_accuracy").row(0, named=True)
    where = ", ".join(f"{axis.words} {best[axis.column]:g}" for axis in grid.axes)
    figure = format(best[metric], ".1%" if metric == "test_accuracy" else ".3g")
    members = _many(best["trained"])
    lost = int(rows["not_trained"].sum())
    rest = f" {lost:,} members diverged or failed and are in no mean." if lost else ""
    return f"Best at {where}: {figure} over {members}.{rest}"


def _many(members: object) -> str:
    return f"{members:,} member{'s' if members != 1 else ''}" if isinstance(members, int) else "members"


def _grid_panels(known: pl.DataFrame, grid: Grid, metric: str, title: str) -> tuple[Panel, ...]:
    draw = _heat if len(grid.axes) == 2 else _points
    drawn = [(metric, title), ("train_loss", "Training loss")]
    parts = [(known.filter(pl.col(name).is_finite()), name, called) for name, called in drawn]
    return tuple(draw(rows, grid, name, called) for rows, name, called in parts if not rows.is_empty())


def _heat(rows: pl.DataFrame, grid: Grid, metric: str, title: str) -> Panel:
    load, temperature = grid.axes
    across = rows[temperature.column].n_unique()
    chart = heat_map(
        rows,
        altair.X(f"{temperature.column}:O", title=temperature.words, axis=altair.Axis(labelAngle=0, labelOverlap=True)),
        altair.Y(f"{load.column}:O", title=load.words, sort="descending"),
        metric,
        ".2f" if metric == "test_accuracy" else ".2~g",
        across,
        scheme="viridis",
        **({"type": "log"} if metric != "test_accuracy" and (rows[metric] > 0).all() else {}),
    )
    height = max(160, min(420, 34 * rows[load.column].n_unique()))
    return panel(title, chart, height, finding=_extremes(rows, grid, metric))


def _extremes(rows: pl.DataFrame, grid: Grid, metric: str) -> str:
    return extremes(rows, metric, grid.columns, ".1%" if metric == "test_accuracy" else ".3g")


def _points(rows: pl.DataFrame, grid: Grid, metric: str, title: str) -> Panel:
    axis = grid.axes[0]
    chart = (
        altair.Chart(rows)
        .mark_line(point=True)
        .encode(
            x=altair.X(f"{axis.column}:Q", title=axis.words, scale=altair.Scale(zero=False, type=axis.scale)),
            y=altair.Y(f"{metric}:Q", title=None, scale=altair.Scale(zero=False), axis=altair.Axis(format=".2~g")),
            tooltip=[axis.column, altair.Tooltip(f"{metric}:Q", format=".4g"), "trained"],
        )
    )
    return panel(title, chart, 220, finding=_extremes(rows, grid, metric))


def _curves(lake: Lake, grid: Grid, maps: list[PhaseMap]) -> list[Figure]:
    """Validation accuracy (or loss) by epoch: a line a cell, a panel a phase, the median of its cells in bold."""
    known = lake.sql(METRIC.format(population=quoted(grid.population_id)))
    if known.is_empty():
        return []
    metric, epochs = known.row(0)
    judged = maps[0] if maps else None
    axes = [axis.sql("member.") for axis in grid.axes] or [f"member.{_line(lake, grid)}"]
    joined = ""
    if judged:
        joined = JOINED.format(
            rule=quoted(judged.rule),
            load=judged.axes[0],
            temperature=judged.axes[1],
            held=quoted(judged.held),
            held_members="".join(
                f" AND member.{axis} = {quoted(str(value))}" for axis, value in json.loads(judged.held).items()
            ),
        )
    sql = CURVES.format(
        phase="cell_phase.phase" if judged else "''",
        axes=", ".join(axes),
        joined=joined,
        population=quoted(grid.population_id),
        known=" AND ".join(f"{column} IS NOT NULL" for column in ("epoch", *grid.columns)),
        metric=metric,
        step=-(-epochs // MOST_EPOCHS),
        epochs=epochs,
    ).strip()
    rows = lake.sql(sql)
    if rows.is_empty():
        return []
    last = rows.filter(pl.col("epoch") == pl.col("epoch").max()).group_by("phase").agg(pl.median(metric)).sort("phase")
    ends = ", ".join(f"{phase} {value:.3g}".strip() for phase, value in last.iter_rows())
    what = "cell (mean over seeds)" if grid.axes else _one(rows)
    many = " Of more than a hundred cells the lines are left out." if _cells(rows, grid) > MOST_CELLS else ""
    says = f"Validation {metric} by epoch, a thin line a {what}, the median in bold.{many}{grid.bins}"
    colours = judged.colours if judged else {}
    panels = tuple(
        _phase_curves(str(phase), part, grid, metric, rows, colours.get(str(phase)))
        for (phase,), part in rows.group_by("phase", maintain_order=True)
    )
    title = "Training curves by phase" if judged else "Training curves"
    finding = f"Median after the last epoch: {ends}."
    return [Figure(title, says, finding, sql, rows, panels, layout="three" if len(panels) > 2 else "two")]


def _span(values: pl.Series) -> list[float]:
    """The least and the largest of those that are finite."""
    finite = [float(value) for value in values.drop_nulls() if isfinite(value)]
    return [min(finite), max(finite)] if finite else [0.0, 1.0]


def _one(rows: pl.DataFrame) -> str:
    return "member" if "model_id" in rows.columns else "mean of all members"


def _cells(rows: pl.DataFrame, grid: Grid) -> int:
    return rows.select(_named(rows, grid)).n_unique()


def _named(rows: pl.DataFrame, grid: Grid) -> list[str]:
    """The columns that tell the lines of a figure apart."""
    return grid.columns or [name for name in ("model_id", "population_id") if name in rows.columns]


def _line(lake: Lake, grid: Grid) -> str:
    """What has a line where nothing but the seed varies: a member, or of very many the population."""
    many = lake.sql(MEMBERS.format(population=quoted(grid.population_id))).item()
    return "model_id" if many <= MOST_CELLS else "population_id"


def _phase_curves(
    phase: str, rows: pl.DataFrame, grid: Grid, metric: str, every: pl.DataFrame, colour: str | None
) -> Panel:
    cells = _cells(rows, grid)
    y = altair.Y(
        f"{metric}:Q",
        title=None,
        scale=altair.Scale(domain=_span(every[metric]), zero=False),
        axis=altair.Axis(format=".2~g", tickCount=5),
    )
    x = altair.X("epoch:Q", title="epoch", axis=altair.Axis(tickMinStep=1, tickCount=6, format="d", grid=False))
    median = rows.group_by("epoch").agg(pl.median(metric)).sort("epoch")
    bold = (
        altair.Chart(median)
        .mark_line(strokeWidth=3)
        .encode(x=x, y=y, tooltip=["epoch", altair.Tooltip(metric, format=".3f")])
    )
    layers: altair.Chart | altair.LayerChart = bold
    axes = _named(rows, grid)
    if _cells(every, grid) <= MOST_CELLS:
        named = rows.with_columns(cell=pl.concat_str([pl.col(axis).cast(pl.String) for axis in axes], separator=" / "))
        thin = altair.Chart(named).mark_line(strokeWidth=1, opacity=0.45, color=altair.ExprRef("quiet"))
        layers = (
            thin.encode(x=x, y=y, detail="cell:N", tooltip=[*axes, "epoch", altair.Tooltip(metric, format=".3f")])
            + bold
        )
    what = "cell" if grid.axes else _one(rows)
    many = f"{cells} {what}{'s' if cells != 1 else ''}"
    (begin, first), (end, last) = (median.row(place) for place in (0, -1))
    finding = f"The median goes from {first:.3g} after epoch {begin} to {last:.3g} after epoch {end}."
    return panel(f"{phase}, {many}" if phase else many, layers, 190, colour, finding)
