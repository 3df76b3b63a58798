"""Where a run begins: anew or where another one ended, with which first answer, and what it will take."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from miners.cohort import named, remember, remembered, sample
from miners.crawl import Unfinished
from miners.estimates import usual_requests
from miners.http import Answer, HubClient, next_page
from miners.listing import first_page, listed, page_at
from miners.order import Order
from miners.pacing import http_date
from miners.planning import expected_models, lacking, listing_requests, plan
from miners.records import HUB
from miners.unfinished import unfinished, watermark
from schemas.lake import Lake

OVERLAP = timedelta(hours=1)  # a hub's listing may learn of a change later than it happened
NAMES = "models.txt"


@dataclass(frozen=True)
class Start:
    """What a run needs to begin.

    It `began` before anything was asked. `query` goes into its row; `first` is the first answer of its listing, None
    where there is none to read; `names` are the models of a run that asks for them one by one; `since` is how far
    back an incremental one reads.
    """

    began: datetime
    query: dict[str, object]
    unfinished: Unfinished | None
    first: Answer | None
    names: list[str] | None
    since: datetime | None
    watermark: datetime | None
    plan: pl.DataFrame

    def remember_names(self, folder: Path) -> None:
        """Write down the models of a run that asks for them one by one."""
        if self.names is not None:
            remember(folder / NAMES, self.names)


def prepared(lake: Lake, hub: HubClient, order: Order, now: Callable[[], datetime]) -> Start:
    """Look at the lake and ask the hub one question, which tells whether it is a hub and what its quotas are."""
    began = now()
    before = None if order.restart else unfinished(lake, HUB, hub.endpoint, order.identity)
    names = _names(lake, hub, order, before)
    query = _query(lake, hub, order, before)
    since = _since(query)
    first = _first_answer(hub, order, query, before)
    if names is not None:
        models = len(names) - int(before.cursor or 0 if before else 0)
    else:
        models = expected_models(lake, HUB, hub.endpoint, order, since, now(), goes_on=before is not None)
    if before is not None:
        models = 0 if before.listed_at is not None else max(1, models - before.rows_seen)
    if names is None and next_page(first) is None:
        models = min(models, listed(first))
    known = lacking(lake, HUB, hub.endpoint, order, now())
    usual = usual_requests(lake, HUB, hub.endpoint, order.wants)
    steps = plan(order, models, listing_requests(order, models), usual, known, hub.quota)
    is_read = names is not None or (before is not None and before.listed_at is not None)
    reached = _hub_time(first, now()) if order.asks_for_all else None
    return Start(began, query, before, None if is_read else first, names, since, reached, steps)


def _names(lake: Lake, hub: HubClient, order: Order, before: Unfinished | None) -> list[str] | None:
    if before is not None:
        kept = remembered(lake.raw / HUB / before.crawl_id / NAMES)
        if kept is not None:
            return kept
    if order.ids is not None:
        return named(lake, order.ids, HUB)
    if order.sample is not None:
        return sample(lake, order.sample, order.stratify, order.seed, HUB, hub.endpoint)
    return None


def _query(lake: Lake, hub: HubClient, order: Order, before: Unfinished | None) -> dict[str, object]:
    """What is written down of a run: what was asked for, and how its listing is walked."""
    asked = {**order.identity, "fetch": order.wants}
    if before is not None:
        return {**before.query, **asked}
    if order.mode == "query":
        return asked if order.sort or order.limit else {**asked, "walk": "createdAt"}
    since = watermark(lake, HUB, hub.endpoint) if order.mode == "incremental" else None
    return {**asked, "walk": "lastModified", "since": since.isoformat()} if since else {**asked, "walk": "createdAt"}


def _since(query: dict[str, object]) -> datetime | None:
    since = query.get("since")
    return None if since is None else datetime.fromisoformat(str(since)) - OVERLAP


def _first_answer(hub: HubClient, order: Order, query: dict[str, object], before: Unfinished | None) -> Answer:
    if order.mode in ("ids", "sample"):
        return first_page(hub, {}, 1)
    if before is not None and before.cursor is not None:
        return page_at(hub, before.cursor)
    walk = {"sort": str(query["walk"])} if "walk" in query else {}
    is_read = before is not None and before.listed_at is not None
    return first_page(hub, {**walk, **order.query}, 1 if is_read else order.limit)


def _hub_time(answer: Answer, now: datetime) -> datetime:
    """When the hub gave an answer, by its own clock, which also dates its models' changes."""
    return http_date(answer.headers.get("date", "")) or now.astimezone(UTC)
