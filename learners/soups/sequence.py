"""Which order the models of a selection have in a merge, where that decides what comes out."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from learners.soups.check.mergeability import selected
from learners.soups.methods import Method
from schemas import Lake, UsageError

SYNTAX = "SELECT json_serialize_sql($query::VARCHAR) AS tree"
TRAINED = "SELECT model_id FROM member WHERE model_id IN (SELECT unnest($ids)) ORDER BY model_id"


def in_order(lake: Lake, sql: str, method: Method, settings: Mapping[str, Any]) -> pl.DataFrame:
    """Select the models of a merge in the order that they are merged in.

    Checkpoints of one run go by their epochs, and what no order matters to goes by name, so that the same models give
    the same merge. Where a list of weights, or a place between two models, counts on an order, the query has to say it.

    Raises:
        UsageError: As `selected`; or an order is needed and the query gives none, or models are of several runs.
    """
    rows = selected(lake, sql, least=1)
    by_name = ["model_id", *({"epoch"} & set(rows.columns))]
    if method.of_one_run:
        return _run(lake, sql, method, rows)
    counted = "weights" if settings.get("weights") is not None else "t" if method.ordered and "t" in settings else ""
    if not counted:
        return rows.sort(by_name)
    if rows.height > 1 and not is_ordered(lake, sql):
        others = "or return a column weight instead" if counted == "weights" else "so that it is clear which is first"
        raise UsageError(
            f"{counted} = {settings[counted]} counts on the order of the models, and the query gives none; "
            f"add ORDER BY model_id, {others}"
        )
    return rows


def _run(lake: Lake, sql: str, method: Method, rows: pl.DataFrame) -> pl.DataFrame:
    """The checkpoints of one run in their order; models of a hub may be such, in an order that the query gives."""
    ids = rows["model_id"].unique(maintain_order=True).to_list()
    if len(ids) == 1:
        return rows.sort("epoch", nulls_last=True) if "epoch" in rows.columns else rows
    trained = lake.sql(TRAINED, ids=ids)["model_id"].to_list()
    if trained:
        raise UsageError(
            f"{method.name} averages the checkpoints of one run, and these are of {len(ids)} runs: {ids[0]}, {ids[1]}; "
            "take the epochs of one (table checkpoint), or uniform"
        )
    if not is_ordered(lake, sql):
        raise UsageError(
            f"{method.name} counts on the order of a run's checkpoints, and the query gives none; add ORDER BY"
        )
    return rows


def is_ordered(lake: Lake, sql: str) -> bool:
    """Whether a query says in which order its rows come, by DuckDB's own reading of it."""
    tree = json.loads(lake.sql(SYNTAX, query=sql)["tree"][0])
    return any(
        modifier.get("type") == "ORDER_MODIFIER"
        for statement in tree.get("statements", [])
        for modifier in statement.get("node", {}).get("modifiers", [])
    )
