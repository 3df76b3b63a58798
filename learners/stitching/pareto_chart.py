"""Draws a stitchable network: accuracy of every stitch against its FLOPs, before and after training, and the fronts."""

from pathlib import Path

import altair
import polars as pl

from learners.written_chart import write_chart

STAGES = ["random", "least squares", "trained"]
BEFORE = "least squares"
"""The stage whose anchors are drawn beside what was trained: they are as they were."""


def pareto_chart(stitches: pl.DataFrame) -> altair.HConcatChart:
    """Draw the stitches of one network: rows of the table `stitch`. Diamonds are anchors, lines the Pareto fronts.

    On the left there are all stages, on the right, where they can be told apart, what was trained and the anchors
    before.
    """
    near = stitches.filter((pl.col("stage") == "trained") | ((pl.col("stage") == BEFORE) & (pl.col("hops") == 0)))
    every, trained = _panel(stitches, "all stages"), _panel(near, "after training, and the anchors before")
    chart: altair.HConcatChart = altair.hconcat(every, trained)
    return chart


def _panel(stitches: pl.DataFrame, title: str) -> altair.LayerChart:
    rows = stitches.with_columns(
        kind=pl.when(pl.col("hops") == 0).then(pl.lit("anchor")).otherwise(pl.lit("stitch")),
        megaflops=pl.col("flops") / 1e6,
    )
    colour = altair.Color("stage:N", sort=STAGES, scale=altair.Scale(domain=STAGES, scheme="tableau10"))
    x = altair.X("megaflops:Q", title="MFLOPs a sample", scale=altair.Scale(zero=False))
    y = altair.Y("accuracy:Q", title="test accuracy", scale=altair.Scale(zero=False))
    tooltip = ["stage", "path", "flops", "parameters", altair.Tooltip("accuracy", format=".4f")]
    points = (
        altair.Chart(rows)
        .mark_point(filled=True, opacity=0.8)
        .encode(
            x=x,
            y=y,
            color=colour,
            tooltip=tooltip,
            shape=altair.Shape("kind:N", scale=altair.Scale(domain=["anchor", "stitch"], range=["diamond", "circle"])),
            size=altair.Size("kind:N", scale=altair.Scale(domain=["anchor", "stitch"], range=[160, 35]), legend=None),
        )
    )
    fronts = altair.Chart(rows.filter("on_front")).mark_line(interpolate="step-after").encode(x=x, y=y, color=colour)
    chart: altair.LayerChart = (fronts + points).properties(title=title, width=380, height=340)
    return chart


def draw_stitches(stitches: pl.DataFrame, path: str | Path) -> Path:
    """Draw the stitches of a network into an .svg, .png or .html file; errors as in `write_chart`."""
    return write_chart(pareto_chart(stitches), path)
