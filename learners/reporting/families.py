"""The report on lineage: which models others come from, and the largest family as a drawing."""

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own
import polars as pl

from learners.lineage.drawing import family_svg
from learners.lineage.graph import lineage_graph
from learners.lineage.table import family_table
from learners.reporting.figure import Figure, Section, bars, quoted, shortened
from schemas import Lake

MOST_DRAWN = 36  # models of the family; more cannot be read on a page
WIDEST = 720  # pixels of the drawing beside the names of its bands
PARENTS = """
WITH counted AS (
    SELECT parent_id AS model, coalesce(relation, 'base') AS relation, count(DISTINCT child_id) AS children
    FROM lineage WHERE relation IS DISTINCT FROM 'initialised-from' AND parent_id <> child_id GROUP BY ALL
), most AS (
    SELECT model FROM counted GROUP BY ALL ORDER BY sum(children) DESC, model LIMIT 12
)
FROM counted WHERE model IN (FROM most)
ORDER BY sum(children) OVER (PARTITION BY model) DESC, model, relation
"""
CENTRE = """
WITH kin AS (
    SELECT parent_id AS model_id, child_id AS other FROM lineage WHERE relation IS DISTINCT FROM 'initialised-from'
    UNION SELECT child_id, parent_id FROM lineage WHERE relation IS DISTINCT FROM 'initialised-from'
)
SELECT model_id, count(*) AS relatives FROM kin WHERE model_id <> other
GROUP BY ALL ORDER BY relatives DESC, model_id LIMIT 1
"""
FAMILY = """
SELECT 0 AS depth, {model} AS model_id
UNION ALL SELECT -depth, model_id FROM ancestors({model}, levels := 2)
UNION ALL SELECT depth, model_id FROM descendants({model}, levels := 2) ORDER BY ALL
"""


def family_section(lake: Lake) -> Section:
    """What comes from what."""
    return Section("Families", [*_parents(lake), *_family(lake)])


def _parents(lake: Lake) -> list[Figure]:
    rows = lake.sql(PARENTS)
    if rows.is_empty():
        return []
    totals = rows.group_by("model", maintain_order=True).agg(pl.sum("children"))
    name, most = totals.row(0)
    finding = f"{shortened(name)} has the most, {most:,}."
    says = "Models that others were made of: their direct children by relation, the twelve with the most."
    drawn = rows.with_columns(pl.col("model").map_elements(shortened, return_dtype=pl.String))
    chart = bars(drawn, "model", "children", "relation")
    return [Figure("Parents of many", says, finding, PARENTS, rows, (chart,), layout="one")]


def _family(lake: Lake) -> list[Figure]:
    centre = lake.sql(CENTRE)
    if centre.is_empty():
        return []
    model_id = str(centre["model_id"][0])
    whole = lineage_graph(lake, model_id, up=2, down=2, attributes=("task", "license", "downloads"))
    says = (
        "The model with the most relatives, with its ancestors above and its descendants below, two steps each way,"
        " the most downloaded first. A dashed box is a model that lineage names and the lake lacks."
    )
    part = f"; the {MOST_DRAWN} nearest and most downloaded are drawn" if len(whole) > MOST_DRAWN else ""
    finding = f"{len(whole):,} models{part}."
    drawing = family_svg(whole, most=MOST_DRAWN, widest=WIDEST)
    rows = family_table(_near(whole))
    sql = FAMILY.format(model=quoted(model_id)).strip()
    return [Figure(f"Family of {shortened(model_id)}", says, finding, sql, rows, drawing=drawing)]


def _near(graph: nx.DiGraph) -> nx.DiGraph:
    """The model, its parents and its children: what a table has room for."""
    return graph.subgraph([name for name, node in graph.nodes(data=True) if abs(node["depth"]) <= 1])
