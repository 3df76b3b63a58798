"""The report on soups: each beside its ingredients, and all kinds of soups of one selection."""

from typing import Any

import altair
import polars as pl

from learners.reporting.figure import INK, Figure, Panel, Section, legend_of, panel, quoted, shortened
from schemas import Lake

CANDIDATES = ["logit ensemble", "soup", "best single", "mean member"]
ORDER = ["best single", "uniform", "greedy", "learned", "aligned", "aligned and repaired", "ensemble"]
MOST = 6  # soups, and comparisons
OF_POPULATION = """
    AND model_id IN (SELECT child_id FROM lineage JOIN member ON member.model_id = parent_id
                     WHERE population_id = {population})"""
SOUPS = """
WITH soup AS (
    SELECT model_id, replace(method, '_', ' ') || ' of ' || json_array_length(settings, '$.ingredients') ||
           if(json_array_length(settings, '$.ingredients') = 1, ' model', ' models') ||
           if(json_array_length(settings, '$.warnings') > 0, ', forced', '') AS soup
    FROM product
    WHERE model_id IN (SELECT model_id FROM measurement WHERE settings->>'candidate' = 'soup'){only}
    ORDER BY made_at DESC, model_id LIMIT {most}
)
SELECT model_id, soup, measurement.settings->>'candidate' AS candidate, value AS accuracy,
    value - standard_error AS low, value + standard_error AS high
FROM measurement JOIN soup USING (model_id)
WHERE split = 'test' AND metric LIKE '%accuracy' AND candidate IS NOT NULL
ORDER BY ALL
"""
COMPARED_OF_POPULATION = """
    WHERE comparison_id IN (SELECT comparison_id FROM soup_comparison JOIN member USING (model_id)
                            WHERE population_id = {population})"""
COMPARED = """
WITH newest AS (
    SELECT comparison_id FROM soup_comparison{only}
    GROUP BY ALL ORDER BY max(compared_at) DESC, comparison_id LIMIT {most}
)
SELECT comparison_id, models, candidate, condition, accuracy, low, high, gain, gain_low, gain_high
FROM soup_comparison SEMI JOIN newest USING (comparison_id)
WHERE condition IN ('clean', 'corrupted') ORDER BY ALL
"""


def soup_section(lake: Lake, population_id: str | None) -> Section:
    """The newest soups and comparisons, of a population's members where one is given."""
    return Section("Soups", [*_soups(lake, population_id), *_compared(lake, population_id)])


def _only(clause: str, population_id: str | None) -> str:
    return "" if population_id is None else clause.format(population=quoted(population_id))


def _soups(lake: Lake, population_id: str | None) -> list[Figure]:
    sql = SOUPS.format(only=_only(OF_POPULATION, population_id), most=MOST).strip()
    rows = lake.sql(sql)
    if rows.is_empty():
        return []
    panels = tuple(_soup(str(name), part) for (_, name), part in rows.group_by("model_id", "soup", maintain_order=True))
    wide = rows.pivot("candidate", index="model_id", values="accuracy")
    finding = ""
    if {"soup", "best single"} <= set(wide.columns):
        won = wide.filter(pl.col("soup") >= pl.col("best single")).height
        finding = f"{won} of {wide.height} soups are as good as the best single model or better."
    says = (
        "Accuracy on test data, one standard error to each side; the best single model is chosen on validation data."
        " Averages of networks that share an initialisation stay in one basin of the loss; of networks initialised"
        f" apart, which has to be forced, they collapse. The newest {MOST} soups at most."
    )
    return [Figure("Soups beside their ingredients", says, finding, sql, rows, panels)]


def _soup(title: str, rows: pl.DataFrame) -> Panel:
    scale = altair.Scale(domain=[0, 1])
    labelled = rows.with_columns(
        label=pl.concat_str("candidate", pl.col("accuracy").map_elements(lambda share: f"  {share:.1%}", pl.String))
    )
    order = [label for name in CANDIDATES for label in labelled.filter(candidate=name)["label"]]
    base = altair.Chart(labelled).encode(
        y=altair.Y("label:N", title=None, sort=order, axis=altair.Axis(domain=False, ticks=False, labelLimit=220))
    )
    colour = altair.when(altair.datum.candidate == "soup").then(altair.value(altair.ExprRef("accent")))
    bars = base.mark_bar(height=12, cornerRadius=2).encode(
        x=altair.X("accuracy:Q", title="test accuracy", scale=scale, axis=altair.Axis(format=".0%", tickCount=4)),
        color=colour.otherwise(altair.value(altair.ExprRef("pale"))),
        tooltip=["candidate", *(altair.Tooltip(f"{name}:Q", format=".4f") for name in ("accuracy", "low", "high"))],
    )
    errors = base.mark_rule(strokeWidth=1.5, color=INK).encode(x=altair.X("low:Q", scale=scale), x2="high:Q")
    known = rows.select("candidate", "accuracy").sort("accuracy", descending=True).iter_rows()
    finding = ", ".join(f"{candidate} {accuracy:.1%}" for candidate, accuracy in known)
    return panel(f"{title[:1].upper()}{title[1:]}", bars + errors, 120, finding=finding)


def _compared(lake: Lake, population_id: str | None) -> list[Figure]:
    sql = COMPARED.format(only=_only(COMPARED_OF_POPULATION, population_id), most=MOST).strip()
    rows = lake.sql(sql)
    if rows.is_empty():
        return []
    panels = tuple(
        _comparison(f"{models} models ({shortened(str(name))})", part)
        for (name, models), part in rows.group_by("comparison_id", "models", maintain_order=True)
    )
    clean = rows.filter(pl.col("condition") == "clean").sort("accuracy", descending=True)
    top = clean.row(0, named=True)
    finding = f"Best on clean data: {top['candidate']}, {top['accuracy']:.1%} ({top['low']:.1%} to {top['high']:.1%})."
    says = (
        "Accuracy on the test split as it is and with all corruptions together; 95 % intervals by the bootstrap over"
        " samples. Differences between candidates are surer than they look, as all share the samples."
    )
    return [Figure("Kinds of soups compared", says, finding, sql, rows, panels, layout="one")]


def _comparison(title: str, rows: pl.DataFrame) -> Panel:
    base = altair.Chart(rows).encode(
        y=altair.Y("candidate:N", title=None, sort=ORDER, axis=altair.Axis(grid=True, ticks=False, domain=False)),
        yOffset="condition:N",
        color=altair.Color("condition:N", legend=legend_of(["clean", "corrupted"])),
    )
    names = ("accuracy", "low", "high", "gain", "gain_low", "gain_high")
    x: dict[str, Any] = {
        "scale": altair.Scale(zero=False),
        "axis": altair.Axis(format=".0%", tickCount=5),
        "title": "test accuracy",
    }
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=altair.X("accuracy:Q", **x),
        shape=altair.Shape("condition:N", legend=None),
        tooltip=["candidate", "condition", *(altair.Tooltip(f"{name}:Q", format=".4f") for name in names)],
    )
    intervals = base.mark_rule(strokeWidth=2).encode(x=altair.X("low:Q", **x), x2="high:Q")
    return panel(title, intervals + points, 44 * rows["candidate"].n_unique())
