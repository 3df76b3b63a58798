"""Draws a population's accuracy map: test accuracy over width and batch size, a map for each share of wrong labels.

weightlake zoo build fashion-cnn-phases --dataset npz:fashion_mnist.npz --lake lake
python docs/accuracy_map.py lake fashion-cnn-phases docs/fashion_accuracy.svg
"""

import sys
from pathlib import Path

import altair
import polars as pl
import vl_convert

from schemas import open_lake

QUERY = """
SELECT width, batch_size, label_noise, avg(test_accuracy) AS accuracy, count(*) AS members
FROM models WHERE population = $name AND state = 'trained' GROUP BY ALL ORDER BY ALL
"""
SIDE = 34


def chart(rows: pl.DataFrame, title: str) -> altair.FacetChart:
    """A heat map of cells with their figures for each share of wrong labels, on one scale."""
    base = altair.Chart().encode(
        x=altair.X("batch_size:O", title="batch size", axis=altair.Axis(labelAngle=0)),
        y=altair.Y("width:O", title="width", sort="descending"),
    )
    middle = rows.select((pl.col("accuracy").min() + pl.col("accuracy").max()) / 2).item()
    figures = base.mark_text(fontSize=11).encode(
        text=altair.Text("accuracy:Q", format=".2f"),
        color=altair.when(altair.datum.accuracy > middle).then(altair.value("black")).otherwise(altair.value("white")),
    )
    cells = base.mark_rect().encode(
        color=altair.Color("accuracy:Q", title="test accuracy", scale=altair.Scale(scheme="viridis"))
    )
    maps = (cells + figures).properties(width=altair.Step(SIDE), height=altair.Step(SIDE))
    column = altair.Column("label_noise:N", title="share of wrong labels")
    faceted: altair.FacetChart = maps.facet(column=column, data=rows, title=title)
    return faceted


def main() -> None:
    """Draw the map of a population of a lake into an SVG file."""
    folder, name, to = sys.argv[1:]
    with open_lake(Path(folder), read_only=True) as lake:
        rows = lake.sql(QUERY, name=name)
    members, largest = rows.select(pl.col("members").sum(), largest=pl.col("members").max()).row(0)
    title = f"{name}: mean test accuracy of {members} networks, {largest} a cell"
    Path(to).write_text(vl_convert.vegalite_to_svg(chart(rows, title).to_dict()), encoding="utf-8")


if __name__ == "__main__":
    main()
