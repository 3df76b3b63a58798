"""What pictures of stitching have in common when they stand alone, on white paper."""

from typing import TypeVar

import altair

Chart = TypeVar("Chart", altair.Chart, altair.LayerChart, altair.HConcatChart, altair.VConcatChart)

COLOURS = ["#0072b2", "#d55e00", "#00866a"]
"""As in a report on light paper."""
LINE = "#667380"
AXIS = {"gridColor": "#e8ecf0", "domainColor": "#b6c0ca", "tickColor": "#b6c0ca", "labelColor": "#35414d"}
ROOM = 26  # pixels at every side, as letters are wider in some browsers than where the picture was laid out


def on_paper(chart: Chart) -> Chart:
    """A chart with the colours, sizes and margins of a picture that stands alone."""
    looks: Chart = (
        chart.properties(padding=ROOM, background="white")
        .configure_view(stroke=None)
        .configure_axis(**AXIS, titleFontWeight="normal", titleColor=LINE, titlePadding=10, titleFontSize=11)
        .configure_title(anchor="start", frame="group", fontSize=13, subtitleColor=LINE, offset=10)
        .configure_legend(labelFontSize=11, symbolSize=90, rowPadding=4, columnPadding=14)
    )
    return looks
