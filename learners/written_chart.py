"""Writes a chart as a file: SVG and PNG for papers, HTML that opens from disk without internet."""

from pathlib import Path

import altair

from schemas.errors import UsageError
from schemas.files import check_file, written_whole

Chart = altair.Chart | altair.LayerChart | altair.FacetChart | altair.HConcatChart | altair.VConcatChart
FORMATS = (".svg", ".png", ".html")


def check_chart_file(path: str | Path) -> None:
    """Make the folder of a file that a chart is to be written to, if it is not there, before any work.

    Raises:
        UsageError: The file has another ending than charts have, or is a folder.
        OutsideError: The folder cannot be made or written to.
    """
    place = Path(path)
    if place.suffix not in FORMATS:
        raise UsageError(f"{place.name}: a drawing is written to a file that ends in {', '.join(FORMATS)}")
    check_file(place)


def write_chart(chart: Chart, path: str | Path) -> Path:
    """Write a chart as SVG, PNG or HTML, by the ending of `path`, whole or not at all.

    Raises:
        UsageError: The ending is another one, or it is a folder.
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
