"""Merges what a hub's catalogue says about its models into the lake, inside one transaction of the caller's."""

from collections.abc import Mapping, Sequence

import polars as pl

from schemas.carded import CARD_TABLES, merge_cards
from schemas.mined import insert_said, merge_models
from schemas.transaction import Transaction

REPLACED = ("tag", "link", "evaluation", "statement")  # whole, for each model that is described anew


def merge_packages(
    transaction: Transaction, tables: Mapping[str, pl.DataFrame], incomplete: Sequence[str] = ()
) -> None:
    """Bring models up to date with the whole of what their hub's catalogue says of them now.

    `tables` holds the frames that `merge_models` takes, those of cards, and `statement`; every list of a model in the
    frame `model` is replaced. The models `incomplete` were not described in full; those of them that are known already
    stay as they are.
    """
    tables = _without_known(transaction, tables, incomplete)
    described = tables["model"].select("model_id") if "model" in tables else pl.DataFrame({"model_id": []})
    transaction.register("described", described.cast(pl.String))
    for table in REPLACED:
        transaction.sql(f"DELETE FROM {table} WHERE model_id IN (SELECT model_id FROM described)")  # noqa: S608 - our names
    cards = {table: tables[table] for table in (*CARD_TABLES, "link") if table in tables}
    apart = (*CARD_TABLES, "statement", "lineage")
    listed = {table: frame for table, frame in tables.items() if table not in apart}
    if "link" in listed:
        listed["link"] = listed["link"].filter(pl.col("source") != "text")
    merge_models(transaction, listed)
    merge_cards(transaction, described["model_id"].to_list(), cards)
    transaction.sql("DELETE FROM lineage WHERE source = 'listing' AND child_id IN (SELECT model_id FROM described)")
    if "lineage" in tables:
        insert_said(transaction, "lineage", tables["lineage"])
    if "statement" in tables:
        transaction.append("statement", tables["statement"])


def _without_known(
    transaction: Transaction, tables: Mapping[str, pl.DataFrame], model_ids: Sequence[str]
) -> Mapping[str, pl.DataFrame]:
    """Leave out the rows of those models that the lake knows."""
    transaction.register("perhaps_known", pl.DataFrame({"model_id": list(model_ids)}, schema={"model_id": pl.String}))
    known = transaction.sql("SELECT model_id FROM model SEMI JOIN perhaps_known USING (model_id)")
    return {
        table: frame.join(known, on="model_id", how="anti", maintain_order="left")
        if "model_id" in frame.columns
        else frame
        for table, frame in tables.items()
    }


def replace_throughput(transaction: Transaction, hub: str, frame: pl.DataFrame) -> None:
    """Put the rows of `frame` in the place of all that a hub has measured before."""
    transaction.sql("DELETE FROM throughput WHERE hub = $hub", hub=hub)
    transaction.append("throughput", frame)
