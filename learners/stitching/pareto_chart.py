"""Draws a stitchable network: accuracy of every stitch against its FLOPs, before and after training, and the fronts."""

from pathlib import Path

import altair
import polars as pl

from learners.written_chart import write_chart

STAGES = ["random", "least squares", "trained"]
COLOURS = ["#0072b2", "#d55e00", "#00866a"]
"""Of the stages, as in a report on light paper."""
KINDS = ["anchor", "stitch"]
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


def pareto_panel(stitches: pl.DataFrame, colour: altair.Color, kinds: altair.Legend | None) -> altair.LayerChart:
    """Accuracy against FLOPs, with the front of each stage as a line; `kinds` is the legend of anchors and stitches."""
    rows = stitches.with_columns(
        kind=pl.when(pl.col("hops") == 0).then(pl.lit(KINDS[0])).otherwise(pl.lit(KINDS[1])),
        megaflops=pl.col("flops") / 1e6,
    )
    x = altair.X("megaflops:Q", title="MFLOPs a sample", scale=altair.Scale(zero=False), axis=altair.Axis(tickCount=5))
    y = altair.Y("accuracy:Q", title="test accuracy", scale=altair.Scale(zero=False), axis=altair.Axis(format="~%"))
    base = altair.Chart(rows).encode(x=x, y=y, color=colour)
    points = base.mark_point(filled=True, opacity=0.8).encode(
        shape=altair.Shape("kind:N", scale=altair.Scale(domain=KINDS, range=["diamond", "circle"]), legend=kinds),
        size=altair.when(altair.datum.kind == KINDS[0]).then(altair.value(170)).otherwise(altair.value(36)),
        tooltip=["stage", "kind", "path", "flops", "parameters", altair.Tooltip("accuracy:Q", format=".4f")],
    )
    fronts = altair.Chart(rows.filter("on_front")).mark_line(interpolate="step-after").encode(x=x, y=y, color=colour)
    chart: altair.LayerChart = fronts + points
    return chart


def _panel(stitches: pl.DataFrame, title: str) -> altair.LayerChart:
    colour = altair.Color("stage:N", sort=STAGES, scale=altair.Scale(domain=STAGES, range=COLOURS))
    chart: altair.LayerChart = pareto_panel(stitches, colour, altair.Legend(title="network")).properties(
        title=title, width=380, height=340
    )
    return chart


def draw_stitches(stitches: pl.DataFrame, path: str | Path) -> Path:
    """Draw the stitches of a network into an .svg, .png or .html file; errors as in `write_chart`."""
    return write_chart(pareto_chart(stitches), path)
