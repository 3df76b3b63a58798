"""The miner of the Hugging Face Hub, and of any hub that speaks its API."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl

from miners.batch import Batch
from miners.card_requests import card_batch, fetch_card
from miners.crawl import Crawl, Progress, Run, silent
from miners.fetching import Fetched, fetch_all
from miners.header_requests import fetch_headers, header_batch
from miners.http import HubClient
from miners.listing import Listing, first_page, pages
from miners.raw import keep
from miners.records import HUB
from miners.targets import Target
from schemas.carded import merge_card_statements, merge_cards
from schemas.errors import UsageError
from schemas.lake import Lake
from schemas.mined import merge_tensors


def mine(
    lake: Lake,
    *,
    limit: int | None = None,
    search: str | None = None,
    author: str | None = None,
    task: str | None = None,
    library: str | None = None,
    sort: str | None = None,
    endpoint: str | None = None,
    cards: bool = False,
    tensors: bool = False,
    client: HubClient | None = None,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Crawl:
    """List a hub's models into the lake, and with `cards` and `tensors` fetch their cards and safetensors headers.

    `limit` stops after that many models; `search` (part of the name), `author`, `task` and `library` choose them,
    `sort` (downloads, likes, createdAt, lastModified, ...) orders them. Every answer is kept below raw/ before its
    rows are committed. What cannot be read leaves a row in `failure` and does not stop the run. While another process
    holds the lake the run goes on, and before it ends it waits for its turn.

    Raises:
        HubError: the hub does not answer, or stops answering; what was read until then is in the lake.
        UsageError: the limit or the endpoint cannot work.
        LakeBusy: another process holds the lake at the start, or this one does at the end.
    """
    asked = {"search": search, "author": author, "pipeline_tag": task, "filter": library, "sort": sort}
    query = {name: value for name, value in asked.items() if value is not None}
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected at least 1, or None for all models")
    hub = client or HubClient(endpoint)
    try:
        first = first_page(hub, query, limit)
        options = {**query, "limit": limit, "cards": cards, "tensors": tensors}
        with Run(lake, HUB, options, hub.endpoint, now, clock, progress or silent) as run:
            listed = Listing(run, limit, progress or silent, cards or tensors).read(pages(hub, first, run.folder))
            if cards:
                _mine_cards(run, hub, listed, progress or silent)
            if tensors:
                _mine_tensors(run, hub, listed, progress or silent)
    finally:
        if client is None:
            hub.close()
    return run.crawl


def _mine_cards(run: Run, hub: HubClient, listed: Sequence[Target], progress: Progress) -> None:
    for done, portion in fetch_all(listed, partial(fetch_card, hub), progress, "cards"):
        tables = _tables(run, f"cards-{done:08d}", portion, card_batch(portion))
        run.crawl.cards += tables["card"].height if "card" in tables else 0
        run.add(
            partial(merge_cards, asked=_answered(portion), tables=tables), partial(merge_card_statements, tables=tables)
        )


def _mine_tensors(run: Run, hub: HubClient, listed: Sequence[Target], progress: Progress) -> None:
    for done, portion in fetch_all(listed, partial(fetch_headers, hub), progress, "tensors"):
        tables = _tables(run, f"tensors-{done:08d}", portion, header_batch(portion))
        run.crawl.tensors += tables["tensor"].height if "tensor" in tables else 0
        run.add(partial(merge_tensors, asked=_answered(portion), tables=tables))


def _tables(run: Run, name: str, portion: Sequence[Fetched[Any]], batch: Batch) -> dict[str, pl.DataFrame]:
    """Keep the answers, then give the rows made of them."""
    if answers := [answer for one in portion for answer in one.answers]:
        keep(run.folder, name, answers)
    return batch.tables(HUB, run.crawl.crawl_id, run.now())


def _answered(portion: Sequence[Fetched[Any]]) -> list[str]:
    """Give the models about which the hub has said something, so that it replaces what was known."""
    return [one.target.model_id for one in portion if one.found is not None or not one.failures]
