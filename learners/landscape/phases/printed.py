"""The grid of phases as a table to print: a row a load, a column a temperature."""

import polars as pl

from learners.landscape.phases.population import PopulationPhases


def phase_grid(found: PopulationPhases) -> pl.DataFrame:
    """Rows by load, the largest first, columns by temperature; each phase with its probability in per cent."""
    probability = (100 * pl.col("probability")).round().cast(pl.Int64)
    cell = pl.concat_str("phase", pl.lit(" "), probability, pl.lit("%"))
    table = found.table.select("width", "batch_size", cell=pl.coalesce(cell, "phase")).sort("batch_size")
    grid = table.pivot(on="batch_size", index="width", values="cell").sort("width", descending=True)
    load, temperature = found.axes
    return grid.rename({"width": f"{load} / {temperature}"})
