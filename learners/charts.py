"""The report's pictures: each a polars DataFrame from one SQL query, drawn with Vega-Lite."""

from dataclasses import dataclass
from typing import Any

import altair
import polars as pl

from schemas import Lake

Chart = altair.Chart | altair.LayerChart | altair.FacetChart | altair.HConcatChart | altair.VConcatChart


@dataclass(frozen=True)
class Picture:
    """A chart with its heading, a sentence that says what it shows, and the query behind it."""

    title: str
    says: str
    sql: str
    specification: dict[str, Any]


def picture(title: str, says: str, sql: str, chart: Chart) -> Picture:
    """Give the chart its description for screen readers and turn it into Vega-Lite's JSON form."""
    specification: dict[str, Any] = chart.properties(description=f"{title}. {says}").to_dict()
    return Picture(title, says, sql.strip(), specification)


ACCURACY_GRID = """
SELECT population_id AS population, width, batch_size, avg(test_accuracy) AS accuracy, count(*) AS members
FROM models WHERE origin = 'trained' AND state = 'trained'
GROUP BY ALL ORDER BY ALL
"""


def accuracy_grid(lake: Lake) -> list[Picture]:
    """Test accuracy over width x batch size, a heat map for each population that varies one of them."""
    rows = lake.sql(ACCURACY_GRID)
    return [
        _grid(str(name), part) for (name,), part in rows.group_by("population", maintain_order=True) if len(part) > 1
    ]


def _grid(population: str, rows: pl.DataFrame) -> Picture:
    base = altair.Chart(rows).encode(
        x=altair.X("batch_size:O", title="batch size", axis=altair.Axis(labelAngle=0)),
        y=altair.Y("width:O", title="width", sort="descending"),
    )
    middle = (rows["accuracy"].min() + rows["accuracy"].max()) / 2  # type: ignore[operator] # polars cannot know it is a number
    cells = base.mark_rect(cornerRadius=3).encode(
        color=altair.Color("accuracy:Q", title="test accuracy", scale=altair.Scale(scheme="viridis")),
        tooltip=["width", "batch_size", altair.Tooltip("accuracy", format=".3f"), "members"],
    )
    figures = base.mark_text(fontSize=13).encode(
        text=altair.Text("accuracy:Q", format=".3f"),
        color=altair.when(altair.datum.accuracy > middle).then(altair.value("black")).otherwise(altair.value("white")),
    )
    says = (
        f"Mean test accuracy of {rows['members'].sum()} members, a cell over its seeds."
        " Load falls upwards, with width; temperature falls to the right, with batch size."
    )
    chart = (cells + figures).properties(
        width=110 * rows["batch_size"].n_unique(), height=48 * rows["width"].n_unique()
    )
    return picture(f"{population}: accuracy over width and batch size", says, ACCURACY_GRID, chart)


TRAINING_CURVES = """
SELECT population_id AS population, width, batch_size, epoch, avg(value) AS accuracy,
       min(value) AS lowest, max(value) AS highest
FROM training JOIN member USING (model_id)
WHERE split = 'validation' AND metric = 'accuracy'
GROUP BY ALL ORDER BY ALL
"""


def training_curves(lake: Lake) -> list[Picture]:
    """Validation accuracy by epoch, a line a width, a panel a batch size, the range over seeds shaded."""
    rows = lake.sql(TRAINING_CURVES)
    return [_curves(str(name), part) for (name,), part in rows.group_by("population", maintain_order=True)]


def _curves(population: str, rows: pl.DataFrame) -> Picture:
    legend = altair.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3)
    base = altair.Chart(rows).encode(
        x=altair.X("epoch:Q", title="epoch", axis=altair.Axis(tickMinStep=1, format="d")),
        color=altair.Color("width:O", scale=altair.Scale(scheme="viridis"), legend=legend),
    )
    line = base.mark_line().encode(
        y=altair.Y("accuracy:Q", title="validation accuracy", scale=altair.Scale(zero=False)),
        tooltip=["width", "batch_size", "epoch", altair.Tooltip("accuracy", format=".3f")],
    )
    band = base.mark_area(opacity=0.15).encode(y="lowest:Q", y2="highest:Q")
    panels = (band + line).properties(width=230, height=200)
    chart = panels.facet(column=altair.Column("batch_size:O", title="batch size"))
    says = "Mean over seeds, the range over seeds shaded."
    return picture(f"{population}: training curves", says, TRAINING_CURVES, chart)


CANDIDATES = ["logit ensemble", "soup", "best single", "mean member"]

SOUPS = """
WITH soup AS (
    SELECT model_id, replace(method, '_', ' ') || ' of ' || json_array_length(settings, '$.ingredients') ||
           if(json_array_length(settings, '$.warnings') > 0, ' models, forced', ' models') AS soup
    FROM product
)
SELECT soup || ' (' || model_id || ')' AS soup, measurement.settings->>'candidate' AS candidate,
       value AS accuracy, value - standard_error AS low, value + standard_error AS high
FROM measurement JOIN soup USING (model_id)
WHERE split = 'test' AND candidate IS NOT NULL
ORDER BY ALL
"""


def soup_comparison(lake: Lake) -> list[Picture]:
    """Each soup beside the best single member, the mean member and the logit ensemble, on test data."""
    rows = lake.sql(SOUPS)
    if rows.is_empty():
        return []
    base = altair.Chart(rows).encode(y=altair.Y("candidate:N", title=None, sort=CANDIDATES))
    bars = base.mark_bar(height=14).encode(
        x=altair.X("accuracy:Q", title="test accuracy", scale=altair.Scale(domain=[0, 1])),
        color=altair.Color("candidate:N", legend=None, scale=altair.Scale(scheme="tableau10")),
        tooltip=["soup", "candidate", altair.Tooltip("accuracy", format=".3f")],
    )
    errors = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    chart = (bars + errors).properties(width=520).facet(row=altair.Row("soup:N", title=None, header=_row_header()))
    says = (
        "Accuracy on the test split, one standard error to each side; the best single model is chosen on validation"
        " data. Networks that share an initialisation stay in one basin of the loss, so their average is a network as"
        " good. Networks initialised apart do not: their average, which has to be forced, collapses."
    )
    return [picture("Soups", says, SOUPS, chart)]


COMPARED = """
SELECT models || ' models (' || comparison_id || ')' AS comparison, candidate, condition, accuracy, low, high, gain,
       gain_low, gain_high
FROM soup_comparison WHERE condition IN ('clean', 'corrupted') ORDER BY ALL
"""
COMPARED_ORDER = [
    *("best single", "uniform", "greedy", "learned", "aligned", "aligned and repaired", "ensemble"),
]


def compared_soups(lake: Lake) -> list[Picture]:
    """Every kind of soup of a selection, on clean and on corrupted test data."""
    rows = lake.sql(COMPARED)
    if rows.is_empty():
        return []
    base = altair.Chart(rows).encode(
        y=altair.Y("candidate:N", title=None, sort=COMPARED_ORDER),
        color=altair.Color("condition:N", scale=altair.Scale(scheme="tableau10")),
        yOffset="condition:N",
    )
    figures = [
        altair.Tooltip(name, format=".4f") for name in ("accuracy", "low", "high", "gain", "gain_low", "gain_high")
    ]
    points = base.mark_point(filled=True, size=50).encode(
        x=altair.X("accuracy:Q", title="test accuracy", scale=altair.Scale(zero=False)), tooltip=["condition", *figures]
    )
    intervals = base.mark_rule().encode(x="low:Q", x2="high:Q")
    chart = (
        (intervals + points)
        .properties(width=520)
        .facet(row=altair.Row("comparison:N", title=None, header=_row_header()))
    )
    says = (
        "Accuracy on the test split as it is, and with all corruptions together; 95 % intervals by the bootstrap over"
        " samples. Differences between candidates are surer than their intervals look, as they share the samples."
    )
    return [picture("Soups compared", says, COMPARED, chart)]


def _row_header() -> altair.Header:
    return altair.Header(labelAngle=0, labelAlign="left", labelAnchor="start", labelOrient="top", labelFontSize=13)


MINED = """
WITH counted AS (
    SELECT hub, coalesce(task, 'no task stated') AS task, count(*) AS models
    FROM models WHERE origin = 'mined' GROUP BY ALL
)
FROM counted QUALIFY row_number() OVER (PARTITION BY hub ORDER BY models DESC, task) <= 20
ORDER BY hub, models DESC
"""


def mined_models(lake: Lake) -> list[Picture]:
    """The mined models by hub and task, the twenty commonest tasks a hub."""
    rows = lake.sql(MINED)
    if rows.is_empty():
        return []
    chart = (
        altair.Chart(rows)
        .mark_bar()
        .encode(
            x=altair.X("models:Q", title="models"),
            y=altair.Y("task:N", title=None, sort="-x"),
            color=altair.Color("hub:N", scale=altair.Scale(scheme="tableau10")),
            tooltip=["hub", "task", "models"],
        )
        .properties(width=520)
    )
    return [picture("What was mined", "Models by task and hub, the twenty commonest tasks of each hub.", MINED, chart)]


COVERAGE = "SELECT hub, models, field, missing_share FROM coverage ORDER BY hub, missing_share DESC, field"


def coverage(lake: Lake) -> list[Picture]:
    """Which share of the mined models lacks which field."""
    rows = lake.sql(COVERAGE)
    if rows.is_empty():
        return []
    base = altair.Chart(rows).encode(
        x=altair.X("hub:N", title=None, axis=altair.Axis(labelAngle=0, orient="top")), y=altair.Y("field:N", title=None)
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=altair.Color("missing_share:Q", title="missing", scale=altair.Scale(scheme="reds", domain=[0, 1])),
        tooltip=["hub", "field", altair.Tooltip("missing_share", format=".1%"), "models"],
    )
    figures = base.mark_text().encode(
        text=altair.Text("missing_share:Q", format=".0%"),
        color=altair.when(altair.datum.missing_share > 0.6)
        .then(altair.value("white"))
        .otherwise(altair.value("black")),
    )
    chart = (cells + figures).properties(width=130 * rows["hub"].n_unique())
    return [picture("Coverage", "Share of each hub's models that lack a field.", COVERAGE, chart)]
