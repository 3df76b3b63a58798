"""The picture of a dataset card: the grid of load and temperature, coloured by phase where phases are known."""

from pathlib import Path
from typing import Any

import altair
import polars as pl
import vl_convert

from schemas.files import write_whole

NAME = "phases.png"
MOST = 6
"""Populations that have room in one picture."""
SCALE = 2.0
PHASES = ("I", "II", "III", "IV-A", "IV-B")
COLOURS = ("#d55e00", "#e69f00", "#56b4e9", "#a5d6a7", "#009e73")


def has_grid(models: pl.DataFrame) -> bool:
    """Whether there is anything to draw: a population with several widths or batch sizes."""
    return not _cells(models).is_empty()


def draw(models: pl.DataFrame, folder: Path) -> str | None:
    """Draw the grids of the largest populations into the dataset's folder; None where there is no grid.

    Args:
        models: Rows of the configuration `models`, all splits.
        folder: The dataset's.

    Returns:
        A sentence that says what the picture shows.
    """
    cells = _cells(models)
    if cells.is_empty():
        return None
    by_phase = "phase" in cells.columns
    what = "The phase of each cell" if by_phase else "Mean test accuracy of each cell"
    says = f"{what}: models of one width and batch size, over their seeds."
    grids = cells.group_by("population_id", maintain_order=True)
    chart = altair.hconcat(*(_grid(str(name), part, by_phase) for (name,), part in grids))
    chart = chart.configure(background="white", font="sans-serif").configure_view(stroke=None)
    write_whole(folder / NAME, vl_convert.vegalite_to_png(chart.to_dict(), scale=SCALE))
    return says


def _cells(models: pl.DataFrame) -> pl.DataFrame:
    """A row a cell of the grids that have more than one."""
    value = pl.col("phase").mode().first() if _known(models, "phase") else pl.col("test_accuracy").mean()
    cells = (
        models.drop_nulls(["population_id", "width", "batch_size"])
        .group_by("population_id", "width", "batch_size")
        .agg(value, pl.len().alias("members"))
        .filter(pl.len().over("population_id") > 1)
    )
    sizes = cells.group_by("population_id").agg(pl.sum("members"))
    kept = sizes.sort("members", "population_id", descending=[True, False]).head(MOST)["population_id"]
    return cells.filter(pl.col("population_id").is_in(kept.implode())).sort("population_id", "width", "batch_size")


def _known(models: pl.DataFrame, column: str) -> bool:
    return column in models.columns and models[column].null_count() < models.height


def _grid(population: str, cells: pl.DataFrame, by_phase: bool) -> altair.LayerChart:
    base = altair.Chart(cells, title=population).encode(
        x=altair.X("batch_size:O", title="batch size (temperature)", axis=altair.Axis(labelAngle=0)),
        y=altair.Y("width:O", title="width (load)", sort="descending"),
    )
    fill, text = _by_phase() if by_phase else _by_accuracy(cells)
    layers = base.mark_rect().encode(color=fill) + base.mark_text(fontSize=11).encode(**text)
    drawn: altair.LayerChart = layers.properties(width=altair.Step(44), height=altair.Step(44))
    return drawn


def _by_phase() -> tuple[altair.Color, dict[str, Any]]:
    scale = altair.Scale(domain=list(PHASES), range=list(COLOURS))
    return altair.Color("phase:N", title="phase", scale=scale), {"text": altair.Text("phase:N")}


def _by_accuracy(cells: pl.DataFrame) -> tuple[altair.Color, dict[str, Any]]:
    fill = altair.Color("test_accuracy:Q", title="test accuracy", scale=altair.Scale(scheme="viridis"))
    low, high = cells["test_accuracy"].min() or 0.0, cells["test_accuracy"].max() or 0.0
    is_light = altair.datum.test_accuracy > (low + high) / 2  # type: ignore[operator] # polars cannot know it is a number
    colour = altair.when(is_light).then(altair.value("black")).otherwise(altair.value("white"))
    return fill, {"text": altair.Text("test_accuracy:Q", format=".2f"), "color": colour}
