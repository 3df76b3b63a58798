"""The report on stitching: what joints between models cost, and the networks that a stitchable network holds."""

import json
from typing import Any

import altair
import numpy as np
import polars as pl
from scipy.cluster.hierarchy import dendrogram  # type: ignore[import-untyped]

from learners.reporting.figure import Figure, Panel, Section, gradient, legend_of, panel, quoted, shortened
from learners.stitching.pareto_chart import STAGES, pareto_panel
from learners.stitching.penalty_chart import SMALLEST
from learners.stitching.penalty_matrix import PenaltyMatrix
from schemas import Lake

MOST_NETWORKS = 4
MOST_STITCHES = 600  # points of a picture
MOST_MODELS = 60  # in one heat map; more cannot be seen
MOST_NAMED = 26  # models whose names fit beside it
LEAF = 10.0  # what scipy's dendrogram gives each leaf
OF_POPULATION = """
    AND front_id IN (SELECT model_id FROM member WHERE population_id = {population})
    AND end_id IN (SELECT model_id FROM member WHERE population_id = {population})"""
PENALTIES = """
WITH newest AS (
    SELECT front_id, end_id, cut, end_cut, joint, penalty, low, high FROM stitch_penalties
    WHERE front_epoch IS NULL AND end_epoch IS NULL{only}
    QUALIFY row_number() OVER (PARTITION BY front_id, end_id, end_cut, joint ORDER BY measured_at DESC) = 1
), chosen AS (
    SELECT model_id FROM (SELECT front_id AS model_id FROM newest UNION SELECT end_id FROM newest)
    ORDER BY model_id LIMIT {most}
)
SELECT front_id AS front, end_id AS "end", joint, avg(penalty) AS penalty, min(low) AS low, max(high) AS high,
    count(*) AS cuts
FROM newest WHERE front_id IN (FROM chosen) AND end_id IN (FROM chosen) GROUP BY ALL ORDER BY ALL
"""
DEPTHS = """
WITH newest AS (
    SELECT front_id, end_id, cut, end_cut, joint, penalty FROM stitch_penalties
    WHERE front_epoch IS NULL AND end_epoch IS NULL AND front_id <> end_id{only}
    QUALIFY row_number() OVER (PARTITION BY front_id, end_id, end_cut, joint ORDER BY measured_at DESC) = 1
)
SELECT joint, end_cut, cut, count(*) AS pairs, avg(penalty) AS penalty, quantile_cont(penalty, 0.25) AS low,
    quantile_cont(penalty, 0.75) AS high
FROM newest GROUP BY ALL ORDER BY ALL
"""
NETWORKS_OF_POPULATION = """
    WHERE model_id IN (SELECT child_id FROM lineage JOIN member ON member.model_id = parent_id
                       WHERE population_id = {population})"""
STITCHES = """
WITH network AS (
    SELECT model_id FROM stitch{only} GROUP BY ALL ORDER BY model_id LIMIT {networks}
)
SELECT model_id, stage, stitch, path, hops, flops, parameters, accuracy, accuracy - 1.96 * standard_error AS low,
    accuracy + 1.96 * standard_error AS high, on_front
FROM stitch SEMI JOIN network USING (model_id)
QUALIFY row_number() OVER (PARTITION BY model_id, stage ORDER BY hops > 0, NOT on_front, hash(stitch)) <= {most}
ORDER BY model_id, stage, flops, stitch
"""


def stitching_section(lake: Lake, population_id: str | None) -> Section:
    """Penalties and stitchable networks, of a population's members where one is given."""
    return Section("Stitching", [*_networks(lake, population_id), *_penalties(lake, population_id)])


def _only(clause: str, population_id: str | None) -> str:
    return "" if population_id is None else clause.format(population=quoted(population_id))


def _networks(lake: Lake, population_id: str | None) -> list[Figure]:
    only = _only(NETWORKS_OF_POPULATION, population_id)
    sql = STITCHES.format(only=only, networks=MOST_NETWORKS, most=MOST_STITCHES).strip()
    rows = lake.sql(sql)
    return [_network(str(name), part, sql) for (name,), part in rows.group_by("model_id", maintain_order=True)]


def _network(name: str, rows: pl.DataFrame, sql: str) -> Figure:
    trained = rows.filter(pl.col("stage") == "trained")
    last = trained if not trained.is_empty() else rows
    front = last.filter("on_front").sort("accuracy")
    stitches = front.filter(pl.col("hops") > 0).height
    accuracies = front["accuracy"].to_list() or [0.0]
    finding = (
        f"On the Pareto front{'' if trained.is_empty() else ' after training'}: {front.height} networks, {stitches} of"
        f" them stitches, from {accuracies[0]:.1%} to {accuracies[-1]:.1%}."
    )
    says = (
        "Every network that can be put together from the anchors, which share all weights: accuracy against cost, with"
        " joints drawn at random, by least squares, and after training. Lines are the Pareto fronts, diamonds anchors."
    )
    panels = [_pareto(rows, "All stages")]
    if not trained.is_empty():
        panels.append(_pareto(trained, "After training"))
    return Figure(f"Stitchable network {shortened(name)}", says, finding, sql, rows, tuple(panels))


def _pareto(stitches: pl.DataFrame, title: str) -> Panel:
    legend = legend_of(STAGES) if stitches["stage"].n_unique() > 1 else None
    colour = altair.Color("stage:N", sort=STAGES, scale=altair.Scale(domain=STAGES), legend=legend)
    front = stitches.filter("on_front").sort("accuracy")
    best = f"The best on a front: {front['accuracy'][-1]:.1%}, {front['stage'][-1]}." if not front.is_empty() else ""
    return panel(title, pareto_panel(stitches, colour, None), 300, finding=best)


def _penalties(lake: Lake, population_id: str | None) -> list[Figure]:
    only = _only(OF_POPULATION, population_id)
    sql = PENALTIES.format(only=only, most=MOST_MODELS).strip()
    rows = lake.sql(sql)
    if rows.is_empty():
        return []
    joints = rows["joint"].unique().sort().to_list()
    panels = tuple(_penalty_map(rows.filter(joint=joint), joint) for joint in joints)
    others = rows.filter(pl.col("front") != pl.col("end"))
    known = others if not others.is_empty() else rows
    cheap, dear = (known.sort("penalty", descending=down).row(0, named=True) for down in (False, True))
    finding = (
        f"From {100 * cheap['penalty']:+.1f} points ({_tail(cheap['front'])} into {_tail(cheap['end'])}) to"
        f" {100 * dear['penalty']:+.1f} points ({_tail(dear['front'])} into {_tail(dear['end'])})."
    )
    says = (
        "What it costs to join the front of one model (a row) to the end of another (a column): the error of the"
        " stitched network minus that of the end's own, on held-out samples, a mean over cuts. Models that are alike"
        f" inside stand together. At most {MOST_MODELS} models."
    )
    layout = "one" if len(panels) == 1 else "two"
    return [Figure("Stitch penalties", says, finding, sql, rows, panels, layout=layout), *_depths(lake, only)]


def _tail(name: str) -> str:
    """A model's name without its hub and owner."""
    return shortened(name.rpartition("/")[2])


def _penalty_map(rows: pl.DataFrame, joint: str) -> Panel:
    """The heat map in the order of the dendrogram, which stands above it where every pair can be joined."""
    models = tuple(pl.concat([rows["front"], rows["end"]]).unique().sort())
    matrix = PenaltyMatrix(models, rows, 0, pl.DataFrame())
    complete = not np.isnan(matrix.matrix(joint=joint)).any() and len(models) > 2
    tree = dendrogram(matrix.dendrogram(joint=joint), no_plot=True) if complete else None
    order = [models[leaf] for leaf in tree["leaves"]] if tree else list(models)
    place = {name: number for number, name in enumerate(order)}
    placed = rows.with_columns(
        x=pl.col("end").replace_strict(place), y=pl.col("front").replace_strict(place)
    ).with_columns(x2=pl.col("x") + 1, y2=pl.col("y") + 1)
    above = 0.22 * len(order) if tree else 0.0
    x, y = _sides(order, above)
    widest = max(SMALLEST, *(abs(float(value)) for value in rows["penalty"]))
    scale = altair.Scale(scheme="blueorange", domain=[-widest, widest])
    figures = (altair.Tooltip(f"{name}:Q", format="+.4f") for name in ("penalty", "low", "high"))
    cells = (
        altair.Chart(placed)
        .mark_rect()
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            color=altair.Color("penalty:Q", scale=scale, legend=gradient(".0%"), title=None),
            tooltip=["front", "end", *figures],
        )
    )
    title = f"Joints by {'training' if joint == 'trained' else joint}"
    height = int(min(560, 22 * len(order)) * (1.22 if tree else 1))
    return panel(title, cells + _tree(tree, above, x, y) if tree else cells, max(220, height))


def _sides(order: list[str], above: float) -> tuple[altair.X, altair.Y]:
    """The axes of a heat map with room above it, named after the models where their names fit."""
    tails = [name.rpartition("/")[2] for name in order]
    names = json.dumps(tails if len(set(tails)) == len(tails) else order)
    ticks = [number + 0.5 for number in range(len(order))] if len(order) <= MOST_NAMED else []
    plain: dict[str, Any] = {"values": ticks, "labelExpr": f"{names}[floor(datum.value)]", "labelLimit": 110}
    plain |= dict.fromkeys(("grid", "ticks", "domain", "labelOverlap"), False)
    across = altair.Scale(domain=[0, len(order)], nice=False)
    down = altair.Scale(domain=[-above, len(order)], nice=False, reverse=True)
    return (
        altair.X("x:Q", title="end", scale=across, axis=altair.Axis(labelAngle=-90, **plain)),
        altair.Y("y:Q", title="front", scale=down, axis=altair.Axis(**plain)),
    )


def _tree(tree: dict[str, list[list[float]]], above: float, x: altair.X, y: altair.Y) -> altair.Chart:
    """The dendrogram over the heat map's columns, its leaves at their middles."""
    top = max(max(heights) for heights in tree["dcoord"]) or 1.0
    points = [
        {"branch": number, "corner": corner, "x": place / LEAF, "y": -0.95 * above * height / top - 0.02 * above}
        for number, (places, heights) in enumerate(zip(tree["icoord"], tree["dcoord"], strict=True))
        for corner, (place, height) in enumerate(zip(places, heights, strict=True))
    ]
    chart: altair.Chart = (
        altair.Chart(pl.DataFrame(points))
        .mark_line(strokeWidth=1.2, color=altair.ExprRef("quiet"))
        .encode(x=x, y=y, detail="branch:N", order="corner:Q")
    )
    return chart


def _depths(lake: Lake, only: str) -> list[Figure]:
    sql = DEPTHS.format(only=only).strip()
    rows = lake.sql(sql)
    if rows["end_cut"].n_unique() < 2:
        return []
    base = altair.Chart(rows).encode(
        x=altair.X("cut:N", title="cut", sort=altair.SortField("end_cut"), axis=altair.Axis(labelAngle=0)),
        color=altair.Color("joint:N", legend=legend_of(rows["joint"].unique().to_list())),
    )
    tooltip = ["joint", "cut", altair.Tooltip("penalty:Q", format="+.4f"), "pairs"]
    line = base.mark_line(point=True).encode(
        y=altair.Y("penalty:Q", title="penalty", axis=altair.Axis(format="+.0%")), tooltip=tooltip
    )
    chart: altair.LayerChart = base.mark_area(opacity=0.18).encode(y="low:Q", y2="high:Q") + line
    by_cut = rows.sort("penalty")
    (cheap, low), (dear, high) = (by_cut.select("cut", "penalty").row(place) for place in (0, -1))
    finding = f"Cheapest behind {cheap} ({100 * low:+.1f} points), dearest behind {dear} ({100 * high:+.1f})."
    says = "Means over pairs of different models at each cut; the middle half of the pairs is shaded."
    return [Figure("Penalties by depth", says, finding, sql, rows, (panel("", chart, 240),), layout="one")]
