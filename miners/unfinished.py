"""Finds in the lake the crawl that an order goes on with, and how far the crawls before it have come."""

import json
from collections.abc import Mapping
from datetime import datetime

from miners.crawl import Unfinished
from schemas.lake import Lake

NOT_ASKED = ("fetch", "since", "walk")  # what a crawl's query says beside the order's identity
NEWEST_FIRST = """
    SELECT crawl_id, started_at, query, cursor, listed_at, watermark, state,
        coalesce(rows_seen, 0) AS rows_seen, coalesce(rows_stored, 0) AS rows_stored, coalesce(failures, 0) AS failures
    FROM crawl WHERE hub = $hub AND source = $source ORDER BY started_at DESC, crawl_id DESC
"""


def unfinished(lake: Lake, hub: str, source: str, identity: Mapping[str, object]) -> Unfinished | None:
    """Give the newest crawl of the same models if it has not come to its end, else None."""
    for row in lake.sql(NEWEST_FIRST, hub=hub, source=source).iter_rows(named=True):
        query, state = json.loads(row.pop("query") or "{}"), row.pop("state")
        if {name: value for name, value in query.items() if name not in NOT_ASKED} == identity:
            return None if state == "finished" else Unfinished(query=query, **row)
    return None


def watermark(lake: Lake, hub: str, source: str) -> datetime | None:
    """Give the moment up to which all changes on the hub are in the lake; None if it was never listed to its end."""
    query = "SELECT max(watermark) AS newest FROM crawl WHERE hub = $hub AND source = $source AND listed_at IS NOT NULL"
    newest: datetime | None = lake.sql(query, hub=hub, source=source)["newest"][0]
    return newest
