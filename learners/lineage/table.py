"""A family as a table: a row a model, the farthest ancestors first."""

from collections.abc import Iterable

import networkx as nx  # type: ignore[import-untyped]  # its types are a package of their own
import polars as pl

TOLD = {"task": pl.String(), "license": pl.String(), "downloads": pl.Int64()}
SCHEMA = {
    **{"depth": pl.Int64(), "model_id": pl.String(), "relation": pl.String(), "parents": pl.String()},
    **{"known": pl.Boolean(), "problem": pl.String(), **TOLD},
}


def family_table(graph: nx.DiGraph) -> pl.DataFrame:
    """Give a family, as `lineage_graph` gives it for one model, as a frame.

    Its columns are depth (steps from the model, negative for ancestors), model_id, relation and parents (inside the
    family, several joined by ", "), known, problem, task, license and downloads.
    """
    rows = []
    for name, node in graph.nodes(data=True):
        edges = graph.pred[name]
        told = {key: node.get(key) for key in ("depth", "known", *TOLD)}
        said = {"relation": _joined(edge["relation"] for edge in edges.values()), "parents": _joined(edges)}
        problem = _joined(edge["problem"] for edge in edges.values() if "problem" in edge)
        rows.append({"model_id": name, **told, **said, "problem": problem})
    frame = pl.DataFrame(rows, schema=SCHEMA)
    return frame.sort("depth", "downloads", "model_id", descending=[False, True, False], nulls_last=True)


def _joined(texts: Iterable[str]) -> str | None:
    return ", ".join(sorted(set(texts))) or None
