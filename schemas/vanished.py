"""Finds the models that a hub does not list any more, and notes what became of them, inside a transaction."""

from datetime import datetime

import polars as pl

from schemas.lake import Lake
from schemas.transaction import Transaction

UNSEEN = """
    FROM model AS old
    WHERE old.hub = $hub AND old.deleted_at IS NULL AND old.last_seen < $started
        AND old.crawl_id IN (SELECT crawl.crawl_id FROM crawl WHERE hub = $hub AND source = $source)
"""


def unseen(lake: Lake, hub: str, source: str, started: datetime) -> pl.DataFrame:
    """Give the models (model_id) that runs over this source have seen before the moment `started` and not since."""
    return lake.sql(f"SELECT old.model_id {UNSEEN} ORDER BY ALL", hub=hub, source=source, started=started)


def note_renamed(transaction: Transaction, hub: str, source: str, started: datetime, crawl_id: str) -> None:
    """Note as renamed what has vanished while a model with the same `hub_id` was seen since the moment `started`."""
    moved = transaction.sql(
        f"""
        SELECT old.model_id, new.model_id AS new_id, new.last_seen AS observed_at
        FROM ({UNSEEN}) AS old JOIN model AS new ON new.hub = old.hub AND new.hub_id = old.hub_id
        WHERE new.last_seen >= $started AND new.deleted_at IS NULL AND new.model_id <> old.model_id
        QUALIFY row_number() OVER (PARTITION BY old.model_id ORDER BY new.last_seen DESC, new.model_id) = 1
        """,  # noqa: S608 - our own text
        hub=hub,
        source=source,
        started=started,
    )
    note_gone(transaction, moved, crawl_id)


def note_gone(transaction: Transaction, gone: pl.DataFrame, crawl_id: str) -> None:
    """Mark models as deleted, with an event each: `renamed` where they have a `new_id`, else `deleted`.

    `gone` has the columns model_id, new_id and observed_at. Models that the lake does not know, or knows as deleted,
    are left out.
    """
    if gone.is_empty():
        return
    transaction.register("gone", gone)
    transaction.sql(
        """
        INSERT INTO event BY NAME
        SELECT model_id, if(new_id IS NULL, 'deleted', 'renamed') AS kind, observed_at, $crawl_id AS crawl_id,
            if(new_id IS NULL, NULL, model_id) AS before, new_id AS after
        FROM gone JOIN model USING (model_id) WHERE model.deleted_at IS NULL
        """,
        crawl_id=crawl_id,
    )
    transaction.sql("""
        UPDATE model SET deleted_at = gone.observed_at FROM gone
        WHERE model.model_id = gone.model_id AND model.deleted_at IS NULL
    """)
