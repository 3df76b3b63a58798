"""Draws penalties: a heat map of all pairs under the dendrogram of their models, and what they cost by depth."""

from pathlib import Path

import altair
import polars as pl

from learners.stitching.chart_look import COLOURS, LINE, on_paper
from learners.stitching.depth_chart import Depths, depth_chart, depths, families
from learners.stitching.penalty_map import map_height, mean_over_cuts, penalty_map
from learners.stitching.penalty_matrix import PenaltyMatrix
from learners.stitching.penalty_settings import LEAST_SQUARES
from learners.written_chart import write_chart

SIDE = 480
MOST_FAMILIES = 8
DEPTH = 200
SHADED = "mean over pairs of different models; the middle half is shaded"


def penalty_heat_map(matrix: PenaltyMatrix, joint: str = LEAST_SQUARES) -> altair.Chart | altair.LayerChart:
    """Draw the mean penalty over cuts of each pair, in the order of a dendrogram, which stands above it.

    Without the dendrogram where some pairs cannot be joined. Names are shortened where they stay apart.

    Raises:
        UsageError: There are no joints of this kind.
    """
    matrix.matrix(joint=joint)
    pairs = mean_over_cuts(matrix.rows.filter(joint=joint))
    legend = altair.Legend(
        orient="top", format="+.0%", tickCount=3, gradientLength=SIDE // 3, gradientThickness=10, title=None
    )
    chart = penalty_map(pairs, matrix.models, LINE, legend)
    says = "what they cost: error beyond the end's own"
    if pairs.height < len(matrix.models) ** 2:
        says += "; blank: no joint is possible"
    title = altair.Title(f"Joints by {_called(joint)}", subtitle=says)
    return chart.properties(title=title, width=SIDE, height=map_height(pairs, matrix.models, SIDE))


def draw_penalties(matrix: PenaltyMatrix, path: str | Path) -> Path:
    """Draw the heat maps of every kind of joint, and what they cost by depth, into an .svg, .png or .html file.

    Raises:
        UsageError: The ending is another one.
        OutsideError: The file cannot be written.
    """
    kinds = matrix.rows["joint"].unique().sort()
    maps = [penalty_heat_map(matrix, joint) for joint in kinds]
    parts = [*maps, *penalties_by_depth(matrix)]
    return write_chart(on_paper(altair.vconcat(*parts, spacing=36).resolve_scale(color="independent")), path)


def penalties_by_depth(matrix: PenaltyMatrix) -> list[altair.LayerChart]:
    """Draw what joints cost behind each cut, a picture for the ends that have the same cuts; most pairs first."""
    joints = matrix.rows["joint"].unique().sort().to_list()
    legend = altair.Legend(orient="top", title=None, symbolOpacity=1, symbolType="stroke", symbolStrokeWidth=3)
    scale = altair.Scale(domain=joints, range=COLOURS[: len(joints)])
    colour = altair.Color("joint:N", scale=scale, legend=legend if joints != [LEAST_SQUARES] else None)
    drawn = []
    for architecture, part in _by_architecture(matrix.rows)[:MOST_FAMILIES]:
        of = f"{architecture}: " if architecture else ""
        title = altair.Title(f"By depth: {of}{part.title}", subtitle=SHADED)
        drawn.append(depth_chart(part, colour).properties(title=title, width=SIDE, height=DEPTH))
    return drawn


def _by_architecture(rows: pl.DataFrame) -> list[tuple[str, Depths]]:
    """The architecture of the ends, where rows have it, and their depths; most pairs first."""
    named = rows if "end_architecture" in rows.columns else rows.with_columns(end_architecture=pl.lit(""))
    found = [
        (str(architecture), part)
        for (architecture,), ends in named.group_by("end_architecture", maintain_order=True)
        for part in families(depths(ends))
    ]
    return sorted(found, key=lambda each: -each[1].rows["pairs"].sum())


def _called(joint: str) -> str:
    return "training" if joint == "trained" else joint
