"""The engine of hubs that list their models page by page and tell all of each there: see `miners.paged_hub.PagedHub`.

Pages are kept, stored and committed one after the other; a run that was ended goes on where it was.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from miners.asking import asking
from miners.crawl import Crawl, Progress, Run, silent
from miners.folders import readable
from miners.http import HubClient
from miners.order import Order
from miners.page_reader import Reader
from miners.paged_hub import PagedHub
from miners.unfinished import unfinished
from schemas.errors import UsageError
from schemas.lake import Lake
from schemas.mined import mark_deleted

WORDS = ("search", "author", "task", "library", "sort")


def paged_miner(paged: PagedHub) -> Callable[..., Crawl]:
    """Make the function that mines a hub's pages into a lake."""

    def mine(
        lake: Lake,
        *,
        limit: int | None = None,
        search: str | None = None,
        author: str | None = None,
        task: str | None = None,
        library: str | None = None,
        sort: str | None = None,
        source: str | Path | None = None,
        restart: bool = False,
        max_requests: int | None = None,
        max_hours: float | None = None,
        polite: float = 1.0,
        endpoint: str | None = None,
        client: HubClient | None = None,
        progress: Progress | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> Crawl:
        """Bring a hub's models into the lake: from its site, or from `source`, a folder or archive of saved pages.

        `search`, `author`, `task` and `library` choose models by the hub's listing as far as it can, `sort` orders
        them, and `limit` stops after so many. A run that was ended is gone on with by the next one that asks for the
        same, unless `restart` says to begin anew; `max_requests` and `max_hours` end a run in good order. Models that
        the hub says it has and does not list are failures of the stage `missing`.

        Raises HubError if the site does not answer, or something else than a listing, UsageError for options that
        cannot work, DataError if an archive is damaged or nothing could be stored of what there is, and LakeBusy.
        """
        order = Order(
            limit=limit,
            search=search,
            author=author,
            task=task,
            library=library,
            sort=sort,
            restart=restart,
            max_requests=max_requests,
            max_hours=max_hours,
            polite=polite,
        )
        wishes = _wishes(paged, order, source)
        with asking(client, lambda: paged.client(endpoint or paged.site), order) as hub:
            origin = readable(str(Path(source).resolve())) if source is not None else hub.endpoint
            query: dict[str, object] = {**wishes, **({"limit": limit} if limit else {})}
            before = None if restart or source else unfinished(lake, paged.hub, origin, query)
            run = Run(lake, paged.hub, query, origin, now, clock, progress or silent, unfinished=before)
            with run:
                reader = Reader(paged, run, lake, hub, limit, progress or silent)
                try:
                    reader.read_source(Path(source)) if source is not None else reader.read_site(wishes)
                finally:
                    run.crawl.requests = hub.requests
                if not wishes and limit is None and reader.is_whole:
                    run.add(partial(mark_deleted, hub=paged.hub, source=origin, crawl_id=run.crawl.crawl_id))
            if run.crawl.state == "finished":  # of a run that has failed here the next one would not list again
                reader.check_site()
        return run.crawl

    return mine


def _wishes(paged: PagedHub, order: Order, source: str | Path | None) -> Mapping[str, str]:
    """Give what the listing is to be narrowed by; UsageError for what this hub cannot be asked."""
    wishes = {name: value for name in WORDS if (value := getattr(order, name)) is not None}
    for name, value in wishes.items():
        if name not in paged.asked:
            raise UsageError(f"the hub {paged.hub} has no option {name!r}; choose from {', '.join(paged.asked)}")
        if not value.strip():
            raise UsageError(f"{name} is {value!r}, expected a word to choose by")
    if source is not None and (wishes or order.limit):
        raise UsageError(f"source={str(source)!r} is read whole; leave out {', '.join(wishes) or 'limit'}")
    return wishes
