"""Writes a chart as a file: SVG and PNG for papers, HTML that opens from disk without internet."""

from pathlib import Path

import altair

from schemas.errors import UsageError
from schemas.files import written_whole

Chart = altair.Chart | altair.LayerChart | altair.FacetChart | altair.HConcatChart | altair.VConcatChart
FORMATS = (".svg", ".png", ".html")


def check_chart_file(path: str | Path) -> None:
    """Raise UsageError unless a chart can be written to a file of such an ending."""
    if Path(path).suffix not in FORMATS:
        raise UsageError(f"{Path(path).name}: a drawing is written to a file that ends in {', '.join(FORMATS)}")


def write_chart(chart: Chart, path: str | Path) -> Path:
    """Write a chart as SVG, PNG or HTML, by the ending of `path`, whole or not at all.

    Raises:
        UsageError: The ending is another one.
        OutsideError: The file cannot be written.
    """
    place = Path(path)
    check_chart_file(place)
    with written_whole(place) as beside:
        if place.suffix == ".html":
            chart.save(beside, format="html", inline=True)
        elif place.suffix == ".png":
            chart.save(beside, format="png", scale_factor=2)
        else:
            chart.save(beside, format="svg")
    return place
