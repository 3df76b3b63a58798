"""Finds which models of several hubs, or under several names, are the same, and keeps what says so."""

from collections.abc import Iterator

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own
import polars as pl

from schemas import Lake

SHARED = """
WITH evidence AS (
    SELECT model_id, kind, key, min(evidence) AS evidence FROM identity_evidence GROUP BY ALL
)
SELECT model_id, kind, key, strong, confidence, evidence FROM evidence JOIN identity_kind USING (kind)
QUALIFY count(*) OVER (PARTITION BY kind, key) > 1 ORDER BY ALL
"""
FOUND = """
SELECT identity_kind.kind, identity_kind.same, identity_kind.strong, identity_kind.confidence,
    count(DISTINCT model_id) AS models, count(DISTINCT key) AS groups,
    count(DISTINCT key) FILTER (hubs > 1) AS across_hubs
FROM identity_kind LEFT JOIN (
    SELECT kind, key, identity.model_id, count(DISTINCT hub) OVER (PARTITION BY kind, key) AS hubs
    FROM identity JOIN model USING (model_id)
) USING (kind)
GROUP BY ALL ORDER BY identity_kind.confidence DESC, identity_kind.kind
"""
GROUPS = {"model_id": pl.String(), "group_id": pl.String()}


def identify(lake: Lake) -> pl.DataFrame:
    """Find out which mined models are the same; fills `identity` and `same_model` anew, all of both or nothing.

    Evidence is what `identity_evidence` shows and several models share. Models are in one group of `same_model` where
    strong kinds of evidence (`identity_kind`) lead from one to the other: the connected components of the graph.

    Returns:
        A row for each kind of evidence: kind, same (what it says is the same), strong, confidence, models that have
        it, groups that share one key, and how many of those are across hubs. `same_model_group` has the groups.

    Raises LakeBusy if another process holds the lake.
    """
    shared = lake.sql(SHARED)
    groups = pl.DataFrame(list(_grouped(shared.filter("strong"))), schema=GROUPS, orient="row").sort("model_id")
    with lake.write() as transaction:
        for table, frame in (("identity", shared), ("same_model", groups)):
            transaction.sql(f"DELETE FROM {table}")  # noqa: S608 - our names
            transaction.append(table, frame)
    return lake.sql(FOUND)


def _grouped(strong: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Give each model with the first name of its group. Models and what they share are the graph's nodes."""
    graph = nx.Graph()
    graph.add_edges_from((model_id, (kind, key)) for model_id, kind, key in strong[["model_id", "kind", "key"]].rows())
    for component in nx.connected_components(graph):
        members = sorted(node for node in component if isinstance(node, str))
        for member in members:
            yield member, members[0]
