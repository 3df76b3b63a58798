"""Draws a stitchable network: accuracy of every stitch against its FLOPs, before and after training, and the fronts."""

from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import altair
import polars as pl

from learners.stitching.chart_look import COLOURS, LINE, on_paper
from learners.written_chart import write_chart

STAGES = ["random", "least squares", "trained"]
KINDS = ["anchor", "stitch"]
BEFORE = "least squares"
"""The stage whose anchors are drawn beside what was trained: they are as they were."""
WIDE = 6
"""Costs that differ by such a factor are drawn on a logarithmic axis."""
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
ANCHOR, STITCH, RING = 170, 36, 330  # square pixels


def pareto_chart(stitches: pl.DataFrame) -> altair.HConcatChart:
    """Draw the stitches of one network: rows of the table `stitch`. Diamonds are anchors, lines the Pareto fronts.

    On the left there are all stages, on the right, where they can be told apart, what was trained, with the anchors
    before training as hollow diamonds.
    """
    trained = stitches.filter(stage=STAGES[-1])
    panels = [_panel(stitches, "All stages")]
    if not trained.is_empty():
        panels.append(_panel(trained, "After training; hollow: anchors before", anchors_before(stitches)))
    chart: altair.HConcatChart = altair.hconcat(*panels, spacing=40)
    return on_paper(chart)


def anchors_before(stitches: pl.DataFrame) -> pl.DataFrame:
    """The anchors as they were before training."""
    return stitches.filter(pl.col("stage") == BEFORE, pl.col("hops") == 0)


def pareto_panel(
    stitches: pl.DataFrame,
    colour: altair.Color,
    kinds: altair.Legend | None,
    before: pl.DataFrame | None = None,
    hollow: Any = LINE,
) -> altair.LayerChart:
    """Accuracy against FLOPs, with the front of each stage as a line; on a logarithmic axis where costs differ much.

    Args:
        stitches: Rows of the table `stitch`.
        colour: Of the stages.
        kinds: The legend of anchors and stitches.
        before: Rows that are drawn as hollow diamonds, in the colour `hollow`.
        hollow: See there.
    """
    every = stitches if before is None else pl.concat([stitches, before])
    size, unit = next((each for each in UNITS if (every["flops"].max() or 0) >= each[0]), UNITS[-1])  # type: ignore[operator] # integers
    rows, rings = (
        part.with_columns(
            kind=pl.when(pl.col("hops") == 0).then(pl.lit(KINDS[0])).otherwise(pl.lit(KINDS[1])),
            cost=pl.col("flops") / size,
        )
        for part in (stitches, every[stitches.height :])
    )
    x = _costs(every["flops"] / size, f"{unit}FLOPs a sample")
    accuracies = altair.Scale(zero=False, nice=False, padding=14)
    y = altair.Y("accuracy:Q", title="test accuracy", scale=accuracies, axis=altair.Axis(format="~%", tickCount=6))
    shown = altair.Tooltip("accuracy:Q", format=".4f")
    base = altair.Chart(rows).encode(x=x, y=y, color=colour)
    points = base.mark_point(filled=True, opacity=0.8).encode(
        shape=altair.Shape("kind:N", scale=altair.Scale(domain=KINDS, range=["diamond", "circle"]), legend=kinds),
        size=altair.when(altair.datum.kind == KINDS[0]).then(altair.value(ANCHOR)).otherwise(altair.value(STITCH)),
        tooltip=["stage", "kind", "path", "flops", "parameters", shown],
    )
    fronts = altair.Chart(rows.filter("on_front")).mark_line(interpolate="step-after").encode(x=x, y=y, color=colour)
    chart: altair.LayerChart = fronts + points
    if not rings.is_empty():
        mark = altair.Chart(rings.with_columns(kind=pl.lit("anchor before training"))).mark_point(
            shape="diamond", size=RING, strokeWidth=1.5, color=hollow
        )
        chart += mark.encode(x=x, y=y, tooltip=["kind", "path", "flops", "parameters", shown])
    return chart


def _costs(costs: pl.Series, title: str) -> altair.X:
    """The axis of costs: marks at 1, 2 and 5 times powers of ten where it is logarithmic."""
    low, high = float(costs.min() or 0), float(costs.max() or 0)  # type: ignore[arg-type] # numbers
    axis: dict[str, Any] = {"labelFlush": False, "labelOverlap": "greedy", "labelSeparation": 4, "format": "~g"}
    if not 0 < WIDE * low < high:
        scale = altair.Scale(zero=False, padding=14)
        return altair.X("cost:Q", title=title, scale=scale, axis=altair.Axis(**axis, tickCount=5))
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    values = [one * 10.0**power for power in powers for one in (1, 2, 5)]
    ends = [low / (high / low) ** 0.06, high * (high / low) ** 0.06]
    ticks = [value for value in values if ends[0] <= value <= ends[1]]
    scale = altair.Scale(type="log", domain=ends, nice=False)
    return altair.X("cost:Q", title=f"{title}, logarithmic", scale=scale, axis=altair.Axis(**axis, values=ticks))


def _panel(stitches: pl.DataFrame, title: str, before: pl.DataFrame | None = None) -> altair.LayerChart:
    stages = altair.Legend(orient="top", title=None, symbolOpacity=1)
    colour = altair.Color("stage:N", sort=STAGES, scale=altair.Scale(domain=STAGES, range=COLOURS), legend=stages)
    kinds = altair.Legend(orient="top", title=None, symbolFillColor=LINE, symbolStrokeColor=LINE)
    chart: altair.LayerChart = pareto_panel(stitches, colour, kinds, before).properties(
        title=title, width=380, height=340
    )
    return chart


def draw_stitches(stitches: pl.DataFrame, path: str | Path) -> Path:
    """Draw the stitches of a network into an .svg, .png or .html file; errors as in `write_chart`."""
    return write_chart(pareto_chart(stitches), path)
