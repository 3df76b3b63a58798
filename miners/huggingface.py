"""The miner of the Hugging Face Hub, and of any hub that speaks its API."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import polars as pl

from miners.asking import asking
from miners.crawl import Crawl, Progress, Run, silent
from miners.http import HubClient
from miners.listing import Listing, pages
from miners.model_requests import look_for, mine_models
from miners.order import Order
from miners.phases import fetch_phase
from miners.planning import told
from miners.records import HUB
from miners.start import Start, prepared
from miners.targets import wanted
from schemas.errors import HubError
from schemas.lake import Lake
from schemas.vanished import note_renamed, unseen

Say = Callable[[str], None]
GOES_ON = "what came until then is in the lake, and the same command goes on from there"


def mine(
    lake: Lake,
    *,
    limit: int | None = None,
    search: str | None = None,
    author: str | None = None,
    task: str | None = None,
    library: str | None = None,
    sort: str | None = None,
    full: bool = False,
    ids: str | None = None,
    sample: int | None = None,
    stratify: Sequence[str] = (),
    seed: int = 0,
    restart: bool = False,
    cards: bool = False,
    configs: bool = False,
    tensors: bool = False,
    commits: bool = False,
    discussions: bool = False,
    files: bool = False,
    max_requests: int | None = None,
    max_hours: float | None = None,
    polite: float = 1.0,
    endpoint: str | None = None,
    client: HubClient | None = None,
    progress: Progress | None = None,
    say: Say = lambda text: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Crawl:
    """Bring a hub's models into the lake, and of each what is asked for beside the listing.

    Which models: without any option all that were changed since the last run that listed all of them, so the first
    run lists the whole hub. `full` lists everything again and finds what was deleted or renamed. `ids` is a file with
    one id a line, or a query over the lake that returns model_id. `sample` draws that many models of the lake in
    proportion to the strata `stratify` (task, library, popularity), the same ones for the same `seed`, and brings
    them up to date. `search` (part of the name), `author`, `task` and `library` choose models by the hub's listing,
    `sort` (downloads, likes, createdAt, lastModified, ...) orders them, `limit` stops after so many.

    What of each: `cards`, `configs` (config.json), `tensors` (headers of weights), `commits`, `discussions`, `files`
    (sizes and hashes), for every model of the choice that lacks it in the lake or has a new commit; without a choice
    of models for all that this hub has ever listed.

    A run that was ended by anything at all is gone on with by the next one that asks for the same models, unless
    `restart` says to begin anew. `max_requests` and `max_hours` end a run in good order; `polite` uses only that
    share of the hub's quotas. Every answer is kept below raw/ before its rows are committed. What cannot be read
    leaves a row in `failure` and does not stop the run. `say` hears what the run will ask of the hub, and what it
    waits for when it waits long.

    Raises:
        HubError: the hub does not answer, or stops answering; what was read until then is in the lake.
        UsageError: an option or the endpoint cannot work.
        OutsideError: the disk is full, or another process is at the same crawl.
        LakeBusy: another process holds the lake at the start, or this one does at the end.
    """
    order = Order(
        limit=limit,
        search=search,
        author=author,
        task=task,
        library=library,
        sort=sort,
        full=full,
        ids=ids,
        sample=sample,
        stratify=stratify,
        seed=seed,
        restart=restart,
        cards=cards,
        configs=configs,
        tensors=tensors,
        commits=commits,
        discussions=discussions,
        files=files,
        max_requests=max_requests,
        max_hours=max_hours,
        polite=polite,
    )
    with asking(client, partial(HubClient, endpoint), order) as hub:
        hub.report(say)
        start = prepared(lake, hub, order, now)
        say(_announcement(start, hub, order))
        run = Run(
            lake,
            HUB,
            start.query,
            hub.endpoint,
            now,
            clock,
            progress or silent,
            watermark=start.watermark,
            unfinished=start.unfinished,
            started=start.began,
        )
        with run:
            try:
                _mine(run, hub, lake, order, start, progress or silent)
            except HubError as error:
                raise HubError(f"{str(error).rstrip('.')}; {GOES_ON}") from error
            finally:
                run.crawl.requests = hub.requests
    return run.crawl


def plan(
    lake: Lake, *, endpoint: str | None = None, client: HubClient | None = None, **options: object
) -> pl.DataFrame:
    """Say what `mine` with these options would ask of the hub, and how long that takes; it costs one request.

    Returns a row for each kind of thing: what, quota (api or resolvers), requests, about (whether that is an
    estimate), seconds at the hub's quota. Raises what `mine` raises before it begins.
    """
    order = Order(**options)  # type: ignore[arg-type]  # the caller's words; each is checked there
    with asking(client, partial(HubClient, endpoint), order) as hub:
        return prepared(lake, hub, order, lambda: datetime.now(UTC)).plan


def _announcement(start: Start, hub: HubClient, order: Order) -> str:
    plan = told(start.plan, hub.quota, order.polite)
    if start.unfinished is None:
        return plan
    begun, seen = f"{start.unfinished.started_at:%Y-%m-%d %H:%M}", start.unfinished.rows_seen
    return f"going on with the crawl of {begun}, which has seen {seen:,} models (--restart begins anew)\n{plan}"


def _mine(run: Run, hub: HubClient, lake: Lake, order: Order, start: Start, progress: Progress) -> None:
    if run.listed_at is None:
        _list(run, hub, order, start, progress)
    run.flush()
    if order.mode == "full":
        _find_vanished(run, hub, lake, progress)
    scope = None if order.asks_for_all else run.crawl.crawl_id
    for what in order.wants:
        models = wanted(lake, what, HUB, hub.endpoint, scope, run.now())
        fetch_phase(run, hub, lake, what, models, progress)


def _list(run: Run, hub: HubClient, order: Order, start: Start, progress: Progress) -> None:
    if start.names is not None:
        start.remember_names(run.folder)
        mine_models(run, hub, start.names, int(run.cursor or 0), progress)
    elif start.first is not None:
        Listing(run, order.limit, progress, start.since).read(pages(hub, start.first, run.folder))


def _find_vanished(run: Run, hub: HubClient, lake: Lake, progress: Progress) -> None:
    """Note what became of the models that the hub has listed before, and does not list any more."""
    source, started, crawl_id = hub.endpoint, run.started, run.crawl.crawl_id
    run.add(lambda transaction: note_renamed(transaction, HUB, source, started, crawl_id))
    run.flush()
    names = [model_id.partition(":")[2] for model_id in unseen(lake, HUB, source, started)["model_id"]]
    look_for(run, hub, names, progress)
    run.flush()
