"""What the report is made of: sections of figures, each figure one SQL query drawn in one or more panels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair
import polars as pl

Chart = altair.Chart | altair.LayerChart

INK, PAPER, QUIET = altair.ExprRef("ink"), altair.ExprRef("paper"), altair.ExprRef("quiet")
"""Colours that theme.json gives a value for light and for dark."""
LETTER = 7.0  # pixels of one in a legend
SYMBOL = 34  # pixels of the mark before a name, and of the space behind it
LONGEST_LABEL = 260  # pixels
ROW = 34  # pixels of a bar with its name above it
MOST_LETTERS = 60  # of a name in a panel's title


@dataclass(frozen=True)
class Panel:
    """One chart of a figure.

    Attributes:
        title: Heading.
        specification: Vega-Lite's JSON form.
        colour: Stands before the heading.
        finding: What can be seen in this chart, for whoever sees no picture; the figure's finding where it is empty.
    """

    title: str
    specification: dict[str, Any]
    colour: str | None = None
    finding: str = ""


@dataclass(frozen=True)
class Figure:
    """Panels that are drawn from one query.

    Attributes:
        title: Heading.
        says: What is shown, in a sentence or two.
        finding: What can be seen, in a sentence with figures; the alternative text for whoever sees no picture.
        sql: The query.
        rows: What it answered, as the table beside the picture.
        panels: Charts.
        drawing: An SVG of its own in place of charts.
        layout: Class of the grid that panels lie in: one, two, three or lead.
    """

    title: str
    says: str
    finding: str
    sql: str
    rows: pl.DataFrame
    panels: tuple[Panel, ...] = ()
    drawing: str = ""
    layout: str = "two"


@dataclass(frozen=True)
class Section:
    """Figures under one heading of the table of contents; without figures it is left out."""

    title: str
    figures: Sequence[Figure]
    says: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


def panel(title: str, chart: Chart, height: int, colour: str | None = None, finding: str = "") -> Panel:
    """Turn a chart into a panel that is as wide as the page lets it.

    How many columns its legends have hangs on that width: `usermeta.legendColumn` keeps the room that one needs, by
    which whoever draws it counts them.
    """
    specification = chart.properties(width="container", height=height).to_dict()
    rooms = list(_legend_rooms(specification))
    if rooms:
        specification["usermeta"] = {"legendColumn": max(rooms)}
    return Panel(title, specification, colour, finding)


def extremes(rows: pl.DataFrame, value: str, names: Sequence[str], shown: str) -> str:
    """Where a value is least and where it is largest, as a sentence; `shown` is the format of its figures."""
    known = rows.filter(pl.col(value).is_finite()).sort(value, *names)
    if known.is_empty():
        return "Nothing is known."
    told = []
    for end in (known.row(place, named=True) for place in (0, -1)):
        where = ", ".join(name.replace("_", " ") + f" {_plain(end[name])}" for name in names)
        told.append(f"{end[value]:{shown}} at {where}")
    return f"From {told[0]} to {told[1]}."


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _legend_rooms(part: Any) -> Iterator[int]:
    """Take the columns out of all legends of a specification."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    for value in inner:
        yield from _legend_rooms(value)
    if isinstance(part, dict) and isinstance(part.get("legend"), dict) and "columns" in part["legend"]:
        yield part["legend"].pop("columns")


def shortened(text: str) -> str:
    """A name for a heading, without its middle where it is long."""
    half = MOST_LETTERS // 2
    return text if len(text) <= MOST_LETTERS else f"{text[:half]}…{text[-half:]}"


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def bars(
    rows: pl.DataFrame, name: str, value: str, colour: str | None = None, shown: str = ",", kinds: Sequence[str] = ()
) -> Panel:
    """Horizontal bars in the order of the rows, each under its total and name.

    Stacked by the column `colour` where given, whose values are `kinds` where pictures are to share their colours.
    """
    totals = rows.group_by(name, maintain_order=True).agg(pl.sum(value))
    y = altair.Y(f"{name}:N", sort=totals[name].to_list(), axis=None)
    scale = altair.Scale(domainMin=0, nice=False)
    bar = altair.Chart(rows).mark_bar(height=10, yOffset=9, cornerRadius=2)
    drawn = bar.encode(
        x=altair.X(f"{value}:Q", title=None, axis=None, scale=scale),
        y=y,
        tooltip=[*([colour] if colour else []), name, altair.Tooltip(f"{value}:Q", format=shown)],
        **({"color": coloured(colour, kinds or rows[colour].unique().sort().to_list())} if colour else {}),
    )
    label = f"format(datum['{value}'], '{shown}') + ' · ' + datum['{name}']"
    names = (
        altair.Chart(totals.with_columns(zero=pl.lit(0)))
        .transform_calculate(label=label)
        .mark_text(align="left", baseline="middle", dy=-6, limit=altair.ExprRef("width"), color=INK)
        .encode(x=altair.X("zero:Q", scale=scale), y=y, text="label:N")
    )
    return panel("", drawn + names, ROW * totals.height)


def coloured(column: str, kinds: Sequence[str]) -> altair.Color:
    """Colours by a column, the same for the same `kinds` wherever they are."""
    scale = altair.Scale(domain=list(kinds))
    return altair.Color(f"{column}:N", title=None, scale=scale, legend=legend_of(kinds))


def legend_of(names: Sequence[str]) -> altair.Legend:
    """A legend above a chart; `columns` is the room in pixels that each of its names takes, see `panel`."""
    room = LETTER * max((len(name) for name in names), default=0) + SYMBOL
    return altair.Legend(orient="top", title=None, columns=round(room), labelLimit=LONGEST_LABEL)


def heat_map(
    rows: pl.DataFrame, x: altair.X, y: altair.Y, value: str, shown: str, columns: int, **scale: Any
) -> altair.LayerChart:
    """Cells coloured by a value, which stands in them wherever they are wide enough for it."""
    middle = _middle(rows[value], scale)
    base = altair.Chart(rows).encode(x=x, y=y)
    cells = base.mark_rect(stroke=PAPER, strokeWidth=1).encode(
        color=altair.Color(f"{value}:Q", title=None, scale=altair.Scale(**scale), legend=gradient(shown)),
        tooltip=[*(name for name in rows.columns if name != value), altair.Tooltip(f"{value}:Q", format=shown)],
    )
    dark = f"datum['{value}'] {'<' if scale.get('scheme') in LIGHT_ABOVE else '>'} {middle}"
    figures = base.mark_text(fontSize=11, opacity=altair.ExprRef(f"width > {columns} * 34 ? 1 : 0")).encode(
        text=altair.Text(f"{value}:Q", format=shown),
        color=altair.when(dark).then(altair.value("white")).otherwise(altair.value("black")),
    )
    chart: altair.LayerChart = cells + figures
    return chart


LIGHT_ABOVE = ("viridis", "cividis")
"""Colour schemes whose high end is the light one."""


def gradient(shown: str, values: Sequence[float] = ()) -> altair.Legend:
    """The legend of a heat map: a thin line above it, labelled at `values`, or where three labels come to stand."""
    legend = altair.Legend(orient="top", format=shown, gradientThickness=8, gradientLength=140, offset=6, tickCount=3)
    if values:
        legend.values = list(values)
    return legend


def _middle(values: pl.Series, scale: dict[str, Any]) -> float:
    """The value half-way through the colours."""
    low, high = scale.get("domain") or (float(values.min() or 0), float(values.max() or 0))  # type: ignore[arg-type] # numbers
    return float((low * high) ** 0.5 if scale.get("type") == "log" else (low + high) / 2)
