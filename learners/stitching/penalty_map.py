"""Draws the penalties of all pairs of models as a heat map, under the dendrogram of the models where there is one."""

import json
from collections.abc import Mapping
from typing import Any

import altair
import polars as pl
from scipy.cluster.hierarchy import dendrogram  # type: ignore[import-untyped]

from learners.stitching.penalty_matrix import PenaltyMatrix
from learners.stitching.short_names import LETTERS, short_names

SMALLEST = 1e-3  # penalty that has the deepest colour at least; less is nothing
MOST_NAMED = 40  # models whose names fit beside it
NARROW = 420  # pixels of a picture in which names are shorter
NARROW_LETTERS = 16
LEAF = 10.0  # what scipy's dendrogram gives each leaf
TREE = 0.22  # of the heat map's height
LETTER = 6.2  # pixels
DIGITS = 5  # of penalties behind the point


def mean_over_cuts(rows: pl.DataFrame) -> pl.DataFrame:
    """The mean penalty of each pair over its cuts, with an interval of 95 %: `low`, `high`.

    Cuts are measured on the same samples, so that their errors hang together, nobody knows how closely: the interval
    is that of errors that go wholly together, which is the widest that it can be.
    """
    mean, error = pl.mean("penalty"), pl.mean("standard_error").fill_null(0.0)
    low, high = pl.max_horizontal(mean - 1.96 * error, -1.0), pl.min_horizontal(mean + 1.96 * error, 1.0)
    keys = [name for name in ("front", "end", "end_architecture", "joint") if name in rows.columns]
    return rows.group_by(keys, maintain_order=True).agg(mean, low=low, high=high, cuts=pl.len())


def penalty_map(
    pairs: pl.DataFrame, models: tuple[str, ...], line: Any, legend: altair.Legend
) -> altair.Chart | altair.LayerChart:
    """Draw pairs of one kind of joint; rows are fronts, columns ends, blue is better than the end alone.

    In the order of a dendrogram, which stands above; where some pairs cannot be joined, as in `models`, without it.

    Args:
        pairs: `front`, `end`, `joint`, `penalty`, `low`, `high` and `cuts`; with `end_architecture`, names say it where
            there are several.
        models: The names of all.
        line: Colour of the dendrogram.
        legend: Of the penalties' colours.
    """
    tree = _tree_of(pairs, models)
    order = [models[leaf] for leaf in tree["leaves"]] if tree else list(models)
    place = {name: number for number, name in enumerate(order)}
    kinds = architectures_of(pairs)
    named = short_names(order, architectures=kinds)
    placed = pairs.select(
        pl.col("front", "end").replace_strict(named),
        pl.col("penalty", "low", "high").round(DIGITS),
        "cuts",
        x=pl.col("end").replace_strict(place),
        y=pl.col("front").replace_strict(place),
    )
    above = TREE * len(order) if tree else 0.0
    x, y = _sides(order, above, kinds)
    widest = max(SMALLEST, *(abs(float(value)) for value in pairs["penalty"]))
    scale = altair.Scale(scheme="blueorange", domain=[-widest, widest])
    figures = (altair.Tooltip(f"{name}:Q", format="+.4f") for name in ("penalty", "low", "high"))
    cells = (
        altair.Chart(placed)
        .transform_calculate(x2="datum.x + 1", y2="datum.y + 1")
        .mark_rect()
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            color=altair.Color("penalty:Q", scale=scale, legend=legend, title=None),
            tooltip=["front", "end", *figures, "cuts"],
        )
    )
    chart: altair.Chart | altair.LayerChart = _branches(tree, above, x, y, line) + cells if tree else cells
    return chart


def architectures_of(pairs: pl.DataFrame) -> dict[str, str]:
    """The architecture of every end of which it is known; each model is the end of its own front."""
    if "end_architecture" not in pairs.columns:
        return {}
    return dict(pairs.select("end", "end_architecture").drop_nulls().iter_rows())


def map_height(pairs: pl.DataFrame, models: tuple[str, ...], side: int) -> int:
    """Pixels of a map whose cells are to be `side` high together."""
    return round(side * (1 + TREE)) if _complete(pairs, models) else side


def _complete(pairs: pl.DataFrame, models: tuple[str, ...]) -> bool:
    return len(models) > 2 and pairs.height == len(models) ** 2


def _tree_of(pairs: pl.DataFrame, models: tuple[str, ...]) -> dict[str, Any] | None:
    if not _complete(pairs, models):
        return None
    matrix = PenaltyMatrix(models, pairs, 0, pl.DataFrame())
    drawn: dict[str, Any] = dendrogram(matrix.dendrogram(joint=pairs["joint"][0]), no_plot=True)
    return drawn


def _sides(order: list[str], above: float, kinds: Mapping[str, str]) -> tuple[altair.X, altair.Y]:
    """The axes of a heat map with room above it, named after the models where their names fit."""
    names, shorter = ([*short_names(order, letters, kinds).values()] for letters in (LETTERS, NARROW_LETTERS))
    named = len(order) <= MOST_NAMED
    written = " : ".join(f"{json.dumps(each)}[floor(datum.value)]" for each in (shorter, names))
    plain: dict[str, Any] = {
        "values": [number + 0.5 for number in range(len(order))] if named else [],
        "labelExpr": f"width < {NARROW} ? {written}",
        "labelLimit": 260,
        "titlePadding": 10 + 0.12 * LETTER * max(len(name) for name in names) if named else 8,
    }
    plain |= dict.fromkeys(("grid", "ticks", "domain", "labelOverlap"), False)
    across = altair.Scale(domain=[0, len(order)], nice=False)
    down = altair.Scale(domain=[-above, len(order)], nice=False, reverse=True)
    return (
        altair.X("x:Q", title="end", scale=across, axis=altair.Axis(labelAngle=-90, **plain)),
        altair.Y("y:Q", title="front", scale=down, axis=altair.Axis(**plain)),
    )


def _branches(tree: dict[str, Any], above: float, x: altair.X, y: altair.Y, line: Any) -> altair.Chart:
    """The dendrogram over the heat map's columns, its leaves at their middles."""
    top = max(max(heights) for heights in tree["dcoord"]) or 1.0
    points = [
        {"branch": number, "corner": corner, "x": place / LEAF, "y": -0.95 * above * height / top - 0.02 * above}
        for number, (places, heights) in enumerate(zip(tree["icoord"], tree["dcoord"], strict=True))
        for corner, (place, height) in enumerate(zip(places, heights, strict=True))
    ]
    chart: altair.Chart = (
        altair.Chart(pl.DataFrame(points))
        .mark_line(strokeWidth=1.2, color=line)
        .encode(x=x, y=y, detail="branch:N", order="corner:Q")
    )
    return chart
