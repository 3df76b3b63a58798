"""Lineage as a networkx graph: everything that the lake knows, or the family of one model."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own
import polars as pl

from schemas import Lake, UsageError

ATTRIBUTES = ("hub", "task", "library", "license", "architecture", "parameters", "downloads", "created_at")
ANY_LEVELS = 2**31 - 1
SLICE = 100_000  # rows that are Python objects at one time
COLUMNS = "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'main' AND table_name = 'model'"
EDGE = "coalesce(relation, 'base') AS relation, coalesce(source, 'unknown') AS source, confidence"
EDGES = "SELECT parent_id, child_id, {edge} FROM lineage WHERE parent_id IS NOT NULL AND child_id IS NOT NULL"
EVERYTHING = """
SELECT model_id, true AS known {attributes} FROM model
UNION ALL BY NAME
SELECT model_id, false AS known FROM (SELECT child_id AS model_id FROM lineage UNION SELECT parent_id FROM lineage)
ANTI JOIN model USING (model_id) WHERE model_id IS NOT NULL
"""
FAMILY = """
WITH found AS MATERIALIZED (
    SELECT $model_id AS model_id, 0 AS depth
    UNION ALL SELECT model_id, -depth FROM ancestors($model_id, levels := $up)
    UNION ALL SELECT model_id, depth FROM descendants($model_id, levels := $down)
), family AS MATERIALIZED (
    SELECT model_id, arg_min(depth, abs(depth)) AS depth FROM found GROUP BY model_id
), described AS MATERIALIZED (
    SELECT model_id {attributes} FROM model WHERE model_id IN (SELECT model_id FROM family)
), said AS MATERIALIZED (
    SELECT parent_id, child_id, {edge} FROM lineage WHERE child_id IN (SELECT model_id FROM family)
), edge AS (
    FROM said WHERE parent_id IN (SELECT model_id FROM family)
)
SELECT family.*, described.model_id IS NOT NULL AS known, described.* EXCLUDE model_id, parents
FROM family LEFT JOIN described USING (model_id)
LEFT JOIN (SELECT child_id, list(edge ORDER BY parent_id, relation) AS parents FROM edge GROUP BY child_id)
    ON child_id = family.model_id
ORDER BY depth, family.model_id
"""

USUAL_HUB = "huggingface"
NAMESAKES = f"""
SELECT DISTINCT model_id FROM (SELECT model_id FROM model UNION ALL SELECT parent_id FROM lineage)
WHERE substr(model_id, strpos(model_id, ':') + 1) = $name AND model_id LIKE '%:%'
ORDER BY starts_with(model_id, '{USUAL_HUB}:') DESC, model_id LIMIT 10
"""  # noqa: S608 - our own text


def lineage_graph(
    lake: Lake,
    model_id: str | None = None,
    *,
    up: int | None = None,
    down: int | None = None,
    attributes: Sequence[str] = ATTRIBUTES,
) -> nx.DiGraph:
    """Give the lineage as a directed graph whose edges lead from parent to child.

    Without `model_id` it holds every model of the lake and every model that lineage names. With it, it holds the
    models that this one comes from, at most `up` steps away, and those that come from it, at most `down` steps away;
    None stands for any number.

    A name without its hub (owner/name) is that of the Hugging Face Hub's model, or of the only one with it.

    A node is a model_id. Its attributes are `known` (whether the lake has the model), those columns of the table
    `model` that are named in `attributes` and are not NULL, and in a family `depth`, the steps from the model:
    negative for its ancestors. An edge has `relation` and `source` (several joined by ", "), `confidence`, and where
    it cannot be right `problem`: self-parent, or cycle. Two and a half million models take some gigabytes with their
    attributes and half of that with `attributes=()`.

    Raises:
        UsageError: the model is neither in the lake nor named by lineage, several hubs have one of the name, a column
            does not exist, or a number of steps is negative.
    """
    if wrong := [steps for steps in (up, down) if steps is not None and steps < 0]:
        raise UsageError(f"a number of steps is {wrong[0]}, expected 0 or more, or None for any")
    _check_attributes(lake, attributes)
    with _nothing_to_collect():
        graph = _whole(lake, attributes) if model_id is None else _family(lake, model_id, up, down, attributes)
    _flag_problems(graph)
    return graph


def _check_attributes(lake: Lake, attributes: Sequence[str]) -> None:
    if set(attributes) <= set(ATTRIBUTES):
        return
    columns = lake.sql(COLUMNS)["column_name"].to_list()
    if unknown := [name for name in attributes if name not in columns]:
        raise UsageError(f"the table model has no column {unknown[0]!r}; choose from {', '.join(columns)}")


def _selected(attributes: Sequence[str]) -> str:
    return "".join(f", {name}" for name in attributes if name != "model_id")


def _whole(lake: Lake, attributes: Sequence[str]) -> nx.DiGraph:
    graph: nx.DiGraph = nx.DiGraph()
    edges = lake.sql(EDGES.format(edge=EDGE))
    for rows in _slices(lake.sql(EVERYTHING.format(attributes=_selected(attributes)))):
        _add_nodes(graph, rows)
    names = {name: name for name in graph}  # one string a model, not one an edge
    for rows in _slices(edges):
        for row in rows:
            _add_edge(graph, names, row)
    return graph


def _family(lake: Lake, model_id: str, up: int | None, down: int | None, attributes: Sequence[str]) -> nx.DiGraph:
    model_id = model_id if ":" in model_id else _with_hub(lake, model_id)
    query = FAMILY.format(attributes=_selected(attributes), edge=EDGE)
    levels = {"up": ANY_LEVELS if up is None else up, "down": ANY_LEVELS if down is None else down}
    rows = lake.sql(query, model_id=model_id, **levels).rows(named=True)
    if len(rows) == 1 and not rows[0]["known"] and not _named(lake, model_id):
        raise UsageError(
            f"there is no model {model_id!r}, neither in this lake nor as the parent of one;"
            " a name begins with its hub, e.g. huggingface:google/vit-base-patch16-224"
        )
    graph: nx.DiGraph = nx.DiGraph(model_id=model_id)
    edges = [edge for row in rows for edge in row.pop("parents") or ()]
    _add_nodes(graph, rows)
    for edge in edges:
        _add_edge(graph, {}, edge)
    return graph


def _with_hub(lake: Lake, name: str) -> str:
    """Give the model_id that somebody means who leaves the hub out; the name itself where nobody has it."""
    found = lake.sql(NAMESAKES, name=name)["model_id"].to_list()
    if len(found) > 1 and found[0] != f"{USUAL_HUB}:{name}":
        raise UsageError(f"{name!r} is the name of several models, say which: {', '.join(found)}")
    return found[0] if found else name


def _named(lake: Lake, model_id: str) -> bool:
    query = "SELECT count(*) AS n FROM lineage WHERE child_id = $model_id OR parent_id = $model_id"
    return bool(lake.sql(query, model_id=model_id)["n"][0])


def _slices(frame: pl.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """Give the rows as dictionaries, equal texts of a slice being one object except for names."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String() and not name.endswith("_id")]
    for part in frame.iter_slices(SLICE):
        columns = [_shared(part[name]) if name in texts else part[name].to_list() for name in part.columns]
        yield [dict(zip(part.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _shared(texts: pl.Series) -> list[str | None]:
    one: dict[str | None, str | None] = {text: text for text in texts.unique().to_list()}
    return [one[text] for text in texts.to_list()]


def _add_nodes(graph: nx.DiGraph, rows: list[dict[str, Any]]) -> None:
    graph.add_nodes_from(
        (row["model_id"], {name: value for name, value in row.items() if value is not None and name != "model_id"})
        for row in rows
    )


def _add_edge(graph: nx.DiGraph, names: dict[str, str], row: dict[str, Any]) -> None:
    """Add a row of lineage; a second relation of the same two models joins the first."""
    parent, child = row.pop("parent_id"), row.pop("child_id")
    if before := graph.get_edge_data(parent, child):
        for name in ("relation", "source"):
            before[name] = ", ".join(sorted({*before[name].split(", "), row[name]}))
        before["confidence"] = max(before["confidence"] or 0.0, row["confidence"] or 0.0)
    else:
        graph.add_edge(names.get(parent, parent), names.get(child, child), **row)


def _flag_problems(graph: nx.DiGraph) -> None:
    """Mark the edges that lead back to where they come from; a model on a cycle has parents and children."""
    inner = [name for name in graph if graph.pred[name] and graph.succ[name]]
    for component in nx.strongly_connected_components(graph.subgraph(inner).copy()):
        for parent in component:
            for child in graph.succ[parent].keys() & component:
                graph.edges[parent, child]["problem"] = "self-parent" if parent == child else "cycle"


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Build without the garbage collector, which would visit every object again and again to find that all live."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
