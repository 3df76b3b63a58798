"""Draws what joints cost by depth: a picture for the ends that have the same cuts, as only they can be compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import altair
import polars as pl

CUTS = ", "  # between the names of cuts
FLAT = 5  # names of cuts that stand beside each other, if they are short
LETTERS = 9


@dataclass(frozen=True)
class Depths:
    """Penalties behind the cuts of ends that have the same cuts.

    Attributes:
        cuts: Their names, from the first.
        ends: How many such ends there are.
        rows: For each kind of joint and cut `joint`, `cut`, `end_cut`, `penalty` (mean over pairs of different
            models), `low`, `high` (quartiles), `pairs`, `ends`.
    """

    cuts: tuple[str, ...]
    ends: int
    rows: pl.DataFrame

    @property
    def title(self) -> str:
        """Which cuts, and of how many ends."""
        whose = "1 end" if self.ends == 1 else f"{self.ends} ends"
        return f"{self.cuts[0]} to {self.cuts[-1]}, {whose}"

    @property
    def finding(self) -> str:
        """Where joints cost least and most."""
        by_cost = self.rows.sort("penalty", "end_cut").select("cut", "penalty")
        (cheap, low), (dear, high) = by_cost.row(0), by_cost.row(-1)
        return f"cheapest behind {cheap} ({100 * low:+.1f} points), dearest behind {dear} ({100 * high:+.1f} points)"


def depths(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean penalties and quartiles by the cuts of the ends: columns as in `Depths`, and `cuts`, the names of all."""
    cuts = rows.select("end", "end_cut", "cut").unique().sort("end_cut")
    known = rows.join(cuts.group_by("end").agg(cuts=pl.col("cut").str.join(CUTS)), on="end")
    return (
        known.filter(pl.col("front") != pl.col("end"))
        .group_by("cuts", "joint", "end_cut", "cut")
        .agg(
            pl.mean("penalty"),
            low=pl.quantile("penalty", 0.25, "linear"),
            high=pl.quantile("penalty", 0.75, "linear"),
            pairs=pl.len(),
            ends=pl.n_unique("end"),
        )
        .sort("cuts", "joint", "end_cut")
    )


def families(rows: pl.DataFrame) -> Iterator[Depths]:
    """Rows of `depths` by ends of the same cuts, those of most pairs first; of one cut there is nothing to see."""
    order = rows.group_by("cuts").agg(pl.sum("pairs")).sort("pairs", "cuts", descending=[True, False])
    for cuts in order["cuts"]:
        part = rows.filter(cuts=cuts).sort("joint", "end_cut")
        names = part.unique("end_cut", keep="first").sort("end_cut")["cut"].to_list()
        if len(names) > 1:
            yield Depths(tuple(names), int(part["ends"].max() or 0), part)  # type: ignore[arg-type] # a count


def depth_chart(part: Depths, joints: altair.Color) -> altair.LayerChart:
    """The mean penalty behind each cut, a line for each kind of joint; the middle half of the pairs is shaded."""
    flat = len(part.cuts) <= FLAT and max(len(name) for name in part.cuts) <= LETTERS
    turned: dict[str, Any] = {"labelAngle": 0} if flat else {"labelAngle": -40, "labelAlign": "right"}
    axis = altair.Axis(**turned, labelLimit=110, labelOverlap=False, grid=False)
    base = altair.Chart(part.rows).encode(
        x=altair.X("cut:N", title="joint behind", sort=list(part.cuts), axis=axis), color=joints
    )
    tooltip = ["joint", "cut", altair.Tooltip("penalty:Q", format="+.4f"), "pairs"]
    y = altair.Y("penalty:Q", title="penalty", axis=altair.Axis(format="+.0%", tickCount=5))
    shade = base.mark_area(opacity=0.18).encode(y=altair.Y("low:Q", title="penalty"), y2="high:Q")
    chart: altair.LayerChart = shade + base.mark_line(point={"size": 40}).encode(y=y, tooltip=tooltip)
    return chart
