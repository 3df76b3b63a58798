"""The report on mined models: what there is, what is missing, how well it is documented, and how it grew."""

from datetime import date
from typing import Any, Literal

import altair
import polars as pl

from learners.reporting.figure import Figure, Panel, Section, bars, coloured, heat_map, legend_of, panel, shortened
from schemas import Lake

MOST_NAMES = 15
NONE, OTHERS = "none stated", "all others"
"""What the queries call models without a name, and those of rarer ones."""
COUNTED = """
WITH counted AS (
    SELECT coalesce({column}, 'none stated') AS {column}, hub, count(*) AS models
    FROM models WHERE origin = 'mined' AND deleted_at IS NULL GROUP BY ALL
), common AS (
    SELECT {column} FROM counted GROUP BY ALL ORDER BY sum(models) DESC, {column} LIMIT {most}
)
FROM counted WHERE {column} IN (FROM common)
ORDER BY sum(models) OVER (PARTITION BY {column}) DESC, {column}, models DESC
"""
HUBS = """
SELECT hub FROM models WHERE origin = 'mined' AND deleted_at IS NULL GROUP BY ALL ORDER BY count(*) DESC, hub
"""
COVERAGE = "SELECT field, hub, missing_share, models FROM coverage ORDER BY field, hub"
SPAN = """
SELECT date_diff('month', min(month), max(month)) AS months FROM models_by_month WHERE month IS NOT NULL
"""
MONTHS = """
WITH counted AS (
    SELECT date_trunc('{unit}', month)::DATE AS month, coalesce({column}, 'none stated') AS {column}, models
    FROM models_by_month WHERE month IS NOT NULL
), common AS (
    SELECT {column} FROM counted GROUP BY ALL ORDER BY sum(models) DESC, {column} LIMIT 6
)
SELECT month, if({column} IN (FROM common), {column}, 'all others') AS {column}, sum(models)::BIGINT AS models
FROM counted GROUP BY ALL ORDER BY ALL
"""
TREND = """
WITH trend AS (
    SELECT date_trunc('{unit}', month)::DATE AS month, hub, models, models * card_share AS cards, score
    FROM documentation_trend WHERE month IS NOT NULL
)
SELECT month, hub, sum(models)::BIGINT AS models, sum(cards)::BIGINT AS cards, sum(cards) / sum(models) AS card_share,
    sum(score * cards) / nullif(sum(cards), 0) AS score
FROM trend
WHERE hub IN (SELECT hub FROM trend GROUP BY ALL ORDER BY sum(models) DESC, hub LIMIT 5)
GROUP BY ALL HAVING sum(models) >= {least} ORDER BY ALL
"""
LEAST = 10
MANY = "SELECT count(*) > 1000 FROM models WHERE origin = 'mined'"
MONTHS_OF = {"month": 1, "quarter": 3, "year": 12}
UNITS = ((48, "month"), (150, "quarter"))
"""Longest span in months that is drawn in such steps; longer ones by year."""


def mined_section(lake: Lake) -> Section:
    """Everything about mined models."""
    span = lake.sql(SPAN)["months"][0]
    unit = next((unit for most, unit in UNITS if (span or 0) <= most), "year")
    over_time = [*_months(lake, "task", unit), *_months(lake, "library", unit), *_trend(lake, unit)] if span else []
    says = "" if span or span is None else "All are of one month, so that nothing is drawn over time."
    return Section("Mined models", [*_counted(lake), *_coverage(lake), *over_time], says)


def _counted(lake: Lake) -> list[Figure]:
    figures = []
    hubs = lake.sql(HUBS)["hub"].to_list()
    for column, many in (("task", "tasks"), ("library", "libraries")):
        sql = COUNTED.format(column=column, most=MOST_NAMES).strip()
        rows = lake.sql(sql)
        if rows.is_empty():
            continue
        totals = rows.group_by(column, maintain_order=True).agg(pl.sum("models"))
        several = rows["hub"].n_unique() > 1
        named, nameless = totals.filter(pl.col(column) != NONE), totals.filter(pl.col(column) == NONE)["models"].sum()
        finding = f"The commonest: {_listed(named.head(3).rows())}." if named.height else ""
        finding += f" {nameless:,} state none." if nameless else ""
        part = f", the commonest {MOST_NAMES} {many}" if totals.height == MOST_NAMES else ""
        says = f"Mined models by {column}{part}{', coloured by hub' if several else ''}."
        chart = bars(_cut(rows, column), column, "models", "hub" if several else None, kinds=hubs)
        figures.append(Figure(f"Models by {column}", says, finding, sql, rows, (chart,), layout="half"))
    return figures


def _cut(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    return rows.with_columns(pl.col(column).map_elements(shortened, return_dtype=pl.String))


def _listed(pairs: list[tuple[str, int]]) -> str:
    return ", ".join(f"{shortened(str(name))} ({count:,})" for name, count in pairs)


def _coverage(lake: Lake) -> list[Figure]:
    rows = lake.sql(COVERAGE)
    if rows.is_empty():
        return []
    fields = rows.group_by("field").agg(share=(pl.col("missing_share") * pl.col("models")).sum() / pl.sum("models"))
    order = fields.sort("share", "field")["field"].to_list()
    hubs = rows["hub"].n_unique()
    most = fields.sort("share", "field", descending=[True, False]).head(3)
    finding = f"Most often missing: {', '.join(f'{name} ({share:.0%})' for name, share in most.iter_rows())}."
    if hubs == 1:
        drawn = bars(fields.sort("share", "field"), "field", "share", shown=".1%")
        says = "Share of the mined models that lack a field; the fullest fields stand above."
        return [Figure("Coverage", says, finding, COVERAGE, rows, (drawn,), layout="one")]
    chart = heat_map(
        rows,
        altair.X("hub:N", title=None, axis=altair.Axis(orient="top", labelAngle=0 if hubs < 3 else -45, domain=False)),
        altair.Y("field:N", title=None, sort=order, axis=altair.Axis(labelLimit=200)),
        "missing_share",
        ".0%",
        hubs,
        scheme="blues",
        domain=[0, 1],
    )
    says = "Share of each hub's models that lack a field; the fullest fields stand above."
    drawn = panel("", chart, 30 * len(order))
    return [Figure("Coverage", says, finding, COVERAGE, rows, (drawn,), layout="one")]


def _months(lake: Lake, column: str, unit: str) -> list[Figure]:
    sql = MONTHS.format(column=column, unit=unit).strip()
    rows = lake.sql(sql)
    if rows.is_empty():
        return []
    totals = rows.group_by(column).agg(pl.sum("models")).sort("models", column, descending=[True, False])
    order = [name for name in totals[column] if name != OTHERS] + [OTHERS] * (OTHERS in totals[column])
    drawn = rows.with_columns(pl.col("month").cast(pl.String))
    by_time = rows.group_by("month").agg(pl.sum("models")).sort("models", "month")
    month, most = by_time.row(-1)
    counted = f"The most in {_called(month, unit)}: {most:,} of {rows['models'].sum():,}."
    panels = [panel(f"Models a {unit}", _stacked(drawn, column, order, unit, "zero"), 260, finding=counted)]
    enough = by_time.filter(pl.col("models") >= LEAST)["month"].sort()
    finding = counted
    if len(enough) > 1:
        finding = _leader(rows, column, enough, unit) or counted
        shared = rows.filter(pl.col("month").is_in(enough.implode())).with_columns(pl.col("month").cast(pl.String))
        chart = _stacked(shared, column, order, unit, "normalize")
        panels.append(panel(f"Share of each {unit}", chart, 260, finding=finding))
    name = "Tasks" if column == "task" else "Libraries"
    few = len(by_time) - len(enough)
    left = f" Shares are left out of {_many(few, unit)} with fewer than {LEAST} models." if few else ""
    says = f"By when they were created (last changed, where that is not known), the six commonest {name.lower()}.{left}"
    return [Figure(f"{name} over time", says, finding, sql, rows, tuple(panels))]


def _many(count: int, unit: str) -> str:
    return f"1 {unit}" if count == 1 else f"{count} {unit}s"


def _leader(rows: pl.DataFrame, column: str, times: pl.Series, unit: str) -> str:
    """The commonest named value: its share of all models, and the time of these in which it has the most of."""
    named = rows.filter(~pl.col(column).is_in([NONE, OTHERS]))
    if named.is_empty():
        return ""
    common = named.group_by(column).agg(pl.sum("models")).sort("models", column, descending=[True, False])[column][0]
    its = pl.col("models").filter(pl.col(column) == common).sum()
    share = rows.select(its / pl.col("models").sum()).item()
    by_time = rows.group_by("month").agg(share=its / pl.col("models").sum())
    begin, most = by_time.filter(pl.col("month").is_in(times.implode())).sort("share", "month").row(-1)
    its_most = f"at most {most:.0%}, in {_called(begin, unit)}"
    return f"The commonest, {shortened(str(common))}: {share:.0%} of all, and {its_most}."


def _called(begin: date, unit: str) -> str:
    quarter = f"Q{(begin.month + 2) // 3} {begin.year}"
    return {"month": f"{begin:%B %Y}", "quarter": quarter, "year": str(begin.year)}[unit]


def _stacked(
    rows: pl.DataFrame, column: str, order: list[str], unit: str, stack: Literal["zero", "normalize"]
) -> altair.Chart:
    time: Any = {"month": "utcyearmonth", "quarter": "utcyearquarter", "year": "utcyear"}[unit]
    value = (
        altair.Axis(format="%", tickCount=4)
        if stack == "normalize"
        else altair.Axis(format="~s", tickCount=4, labelExpr="datum.value ? datum.label : '0'")
    )
    rank = altair.Order("rank:Q")
    ranked = rows.with_columns(rank=pl.col(column).replace_strict({name: n for n, name in enumerate(order)}))
    chart: altair.Chart = (
        altair.Chart(ranked)
        .mark_bar()
        .encode(
            x=altair.X(
                "month:T",
                timeUnit=time,
                title=None,
                axis=altair.Axis(labelOverlap="greedy", labelSeparation=8, grid=False),
            ),
            y=altair.Y("models:Q", title=None, stack=stack, axis=value),
            color=altair.Color(f"{column}:N", sort=order, scale=altair.Scale(domain=order), legend=legend_of(order)),
            order=rank,
            tooltip=[column, altair.Tooltip("month:T", format="%b %Y"), altair.Tooltip("models:Q", format=",")],
        )
    )
    return chart


def _trend(lake: Lake, unit: str) -> list[Figure]:
    many = lake.sql(MANY).item()
    sql = TREND.format(unit=unit, least=LEAST if many else 1).strip()
    rows = lake.sql(sql)
    known = rows.filter(pl.col("score").is_not_null())
    if known.is_empty():
        return []
    hubs = rows.group_by("hub").agg(pl.sum("models")).sort("models", "hub", descending=[True, False])["hub"].to_list()
    panels = (
        _line(rows, "score", "Completeness of cards, mean", hubs, unit),
        _line(rows, "card_share", "Models with a card", hubs, unit),
    )
    mean = float((known["score"] * known["cards"]).sum()) / max(1, int(known["cards"].sum()))
    finding = (
        f"{rows['cards'].sum():,} of {rows['models'].sum():,} models have a card here; they are {mean:.0%} complete."
    )
    few = f" A {unit} with fewer than {LEAST} models of a hub is left out, and its line breaks there." if many else ""
    says = (
        "Completeness is the share of nine sections of a model card that say anything, by weight, over the models of a"
        f" {unit} whose card is in this lake.{few}"
    )
    return [Figure("Documentation over time", says, finding, sql, rows, panels)]


def runs(rows: pl.DataFrame, unit: str) -> pl.DataFrame:
    """Number the unbroken runs of each hub's months, quarters or years, in the column `run`: a line goes over one.

    Args:
        rows: A row a hub and time, with columns hub and month, the first day.
        unit: `month`, `quarter` or `year`.
    """
    number = (pl.col("month").dt.year() * 12 + pl.col("month").dt.month() - 1) // MONTHS_OF[unit]
    begins = (number.diff() != 1).fill_null(value=True).over("hub")
    return rows.sort("hub", "month").with_columns(run=begins.cast(pl.Int64).cum_sum().over("hub"))


def _line(rows: pl.DataFrame, value: str, title: str, hubs: list[str], unit: str) -> Panel:
    drawn = runs(rows.filter(pl.col(value).is_not_null()), unit).with_columns(pl.col("month").cast(pl.String))
    chart = (
        altair.Chart(drawn)
        .mark_line(point=altair.OverlayMarkDef(size=28), strokeWidth=2)
        .encode(
            x=altair.X(
                "month:T",
                title=None,
                axis=altair.Axis(labelOverlap="greedy", labelSeparation=10, grid=False, format="%b %Y", tickCount=5),
                scale=altair.Scale(type="utc"),
            ),
            y=altair.Y(
                f"{value}:Q", title=None, axis=altair.Axis(format="%", tickCount=4), scale=altair.Scale(domainMin=0)
            ),
            color=coloured("hub", hubs),
            detail="run:N",
            tooltip=[
                "hub",
                altair.Tooltip("month:T", format="%b %Y"),
                altair.Tooltip(f"{value}:Q", format=".1%"),
                altair.Tooltip("models:Q", format=","),
            ],
        )
    )
    return panel(title, chart, 240)
