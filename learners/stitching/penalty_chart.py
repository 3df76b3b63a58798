"""Draws penalties: a heat map of all pairs beside the dendrogram of their models, and what they cost by depth."""

from collections.abc import Sequence
from pathlib import Path

import altair
import numpy as np
import polars as pl
from scipy.cluster.hierarchy import dendrogram  # type: ignore[import-untyped]

from learners.stitching.penalty_matrix import PenaltyMatrix
from learners.written_chart import write_chart

SIDE = 480
LEAF = 10  # what scipy's dendrogram gives each leaf
BESIDE = 90
SMALLEST = 1e-3  # penalty that has the deepest colour at least; less is nothing
MOST_NAMED = 40  # models whose names fit beside a heat map


def penalty_heat_map(matrix: PenaltyMatrix, joint: str = "least squares") -> altair.HConcatChart | altair.Chart:
    """Draw the mean penalty over cuts of each pair, in the order of a dendrogram, which stands beside it.

    Without the dendrogram where some pairs cannot be joined. Names are shortened where they stay apart.

    Raises:
        UsageError: There are no joints of this kind.
    """
    complete = not np.isnan(matrix.matrix(joint=joint)).any()
    names = _short(matrix.models)
    means = _means(matrix.rows.filter(joint=joint)).with_columns(pl.col("front", "end").replace_strict(names))
    if not complete or len(matrix.models) < 3:
        return _heat_map(means, list(names.values()))
    tree = matrix.dendrogram(joint=joint)
    order = [names[matrix.models[leaf]] for leaf in dendrogram(tree, no_plot=True)["leaves"]]
    beside: altair.HConcatChart = altair.hconcat(_tree(tree), _heat_map(means, order), spacing=4)
    return beside


def draw_penalties(matrix: PenaltyMatrix, path: str | Path) -> Path:
    """Draw the heat maps of every kind of joint, and what they cost by depth, into an .svg, .png or .html file.

    Raises:
        UsageError: The ending is another one.
        OutsideError: The file cannot be written.
    """
    kinds = matrix.rows["joint"].unique().sort()
    maps = [penalty_heat_map(matrix, joint).properties(title=f"joints by {_called(joint)}") for joint in kinds]
    return write_chart(altair.vconcat(*maps, penalty_by_depth(matrix.rows)).resolve_scale(color="independent"), path)


def penalty_by_depth(rows: pl.DataFrame) -> altair.LayerChart:
    """Draw the mean penalty of pairs of different models at each cut, with its quartiles, a line a kind of joint."""
    pairs = rows.filter(pl.col("front") != pl.col("end"))
    base = altair.Chart(
        pairs.group_by("joint", "cut", "end_cut").agg(
            pl.mean("penalty"), low=pl.quantile("penalty", 0.25), high=pl.quantile("penalty", 0.75), pairs=pl.len()
        )
    ).encode(
        x=altair.X("cut:N", title="cut", sort=altair.SortField("end_cut"), axis=altair.Axis(labelAngle=0)),
        color=altair.Color("joint:N", scale=altair.Scale(scheme="tableau10")),
    )
    tooltip = ["joint", "cut", altair.Tooltip("penalty", format=".4f"), "pairs"]
    line = base.mark_line(point=True).encode(y=altair.Y("penalty:Q", title="penalty"), tooltip=tooltip)
    chart: altair.LayerChart = base.mark_area(opacity=0.15).encode(y="low:Q", y2="high:Q") + line
    return chart.properties(width=SIDE, height=220)


def _called(joint: str) -> str:
    return "training" if joint == "trained" else joint


def _means(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("front", "end", maintain_order=True).agg(
        pl.mean("penalty"), pl.mean("loss_penalty"), pl.mean("error"), lowest=pl.min("low"), highest=pl.max("high")
    )


def _heat_map(means: pl.DataFrame, order: list[str]) -> altair.Chart:
    label = altair.Axis() if len(order) <= MOST_NAMED else None
    most = max(float(means["penalty"].abs().max() or 0), SMALLEST)  # type: ignore[arg-type] # a column of numbers
    figures = [altair.Tooltip(name, format=".4f") for name in ("penalty", "lowest", "highest", "loss_penalty", "error")]
    chart: altair.Chart = (
        altair.Chart(means)
        .mark_rect()
        .encode(
            x=altair.X("end:N", title="end", sort=order, axis=label and altair.Axis(labelAngle=-90)),
            y=altair.Y("front:N", title="front", sort=order, axis=label and altair.Axis(orient="right")),
            color=altair.Color(
                "penalty:Q",
                title="penalty",
                scale=altair.Scale(scheme="blueorange", domain=[-most, most]),
                legend=altair.Legend(),
            ),
            tooltip=["front", "end", *figures],
        )
        .properties(width=SIDE, height=SIDE)
    )
    return chart


def _tree(tree: object) -> altair.Chart:
    """The dendrogram, its leaves at the heat map's rows."""
    drawn = dendrogram(tree, no_plot=True)
    points = [
        {"branch": number, "corner": corner, "place": place, "distance": distance}
        for number, (places, distances) in enumerate(zip(drawn["icoord"], drawn["dcoord"], strict=True))
        for corner, (place, distance) in enumerate(zip(places, distances, strict=True))
    ]
    y = altair.Y("place:Q", axis=None, scale=altair.Scale(domain=[0, LEAF * len(drawn["leaves"])], reverse=True))
    x = altair.X("distance:Q", title="distance", scale=altair.Scale(reverse=True, nice=False))
    chart: altair.Chart = (
        altair.Chart(pl.DataFrame(points))
        .mark_line(color="#5b6875", strokeWidth=1)
        .encode(x=x, y=y, detail="branch:N", order="corner:Q")
        .properties(width=BESIDE, height=SIDE)
    )
    return chart


def _short(ids: Sequence[str]) -> dict[str, str]:
    """The names of models without what precedes the last slash, where that is clear."""
    tails = {model_id: model_id.rpartition("/")[2] for model_id in ids}
    clear = len(set(tails.values())) == len(set(ids))
    return {model_id: tails[model_id] if clear else model_id for model_id in ids}
