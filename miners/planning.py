"""What a run will ask of a hub, and how long that takes at the hub's quotas: told before it begins."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime

import polars as pl

from miners.estimates import requests_for
from miners.listing import PAGE
from miners.order import Order
from miners.phases import PHASES
from miners.targets import OF_THIS_HUB, wanted
from miners.unfinished import watermark
from schemas.lake import Lake

WINDOW = 300.0  # seconds
ANONYMOUS = {"api": (500, WINDOW), "resolvers": (3000, WINDOW)}
FREE_ACCOUNT = {"api": (1000, WINDOW), "resolvers": (5000, WINDOW)}
ALL_MODELS = 2_500_000  # of the Hugging Face Hub in 2025; what a first whole run expects
COLUMNS = {"what": pl.String, "quota": pl.String, "requests": pl.Int64, "about": pl.Boolean, "seconds": pl.Float64}

Announced = Callable[[str], tuple[int, float] | None]


def quota(kind: str, announced: Announced) -> tuple[int, float]:
    """Give requests and seconds of a quota as the hub has announced it.

    One of which the hub has said nothing yet is that of a free account, where another shows one at least, else that
    of somebody without a token (https://huggingface.co/docs/hub/rate-limits).
    """
    said = announced(kind)
    if said is not None:
        return said
    others = [(other, announced(other)) for other in ANONYMOUS]
    has_account = any(said is not None and said[0] > ANONYMOUS[other][0] for other, said in others)
    return (FREE_ACCOUNT if has_account else ANONYMOUS)[kind]


def duration(requests: int, quota: tuple[int, float], share: float) -> float:
    """Seconds that requests take at a quota: the first window's worth at once, each other one a window later.

    >>> duration(500, (500, 300.0), 1.0), duration(1250, (500, 300.0), 1.0), duration(500, (500, 300.0), 0.5)
    (0.0, 600.0, 300.0)
    """
    most = max(1, int(quota[0] * share))
    return max(0, math.ceil(requests / most) - 1) * quota[1]


def expected_models(
    lake: Lake, hub: str, source: str, order: Order, since: datetime | None, now: datetime, *, goes_on: bool
) -> int:
    """How many models the listing will have, as the lake lets expect; it cannot know better than that.

    Of a first listing that another run has begun (`goes_on`) the lake has some, which says nothing of all.
    """
    if order.limit is not None:
        return order.limit
    counted = f"SELECT count(*) AS models FROM model WHERE hub = $hub AND deleted_at IS NULL AND {OF_THIS_HUB}"  # noqa: S608 - our own text
    if since is not None:  # as many as had changed in as long a time before
        counted += " AND modified_at > $before"
        return int(lake.sql(counted, hub=hub, source=source, before=since - (now - since))["models"][0])
    if goes_on and watermark(lake, hub, source) is None:
        return ALL_MODELS
    return int(lake.sql(counted, hub=hub, source=source)["models"][0]) or ALL_MODELS


def lacking(lake: Lake, hub: str, source: str, order: Order, now: datetime) -> dict[str, int]:
    """How many requests take what the models that the lake knows by now lack of what is asked for."""
    if not order.asks_for_all:
        return dict.fromkeys(order.wants, 0)
    return {what: requests_for(lake, what, wanted(lake, what, hub, source, None, now)) for what in order.wants}


def plan(
    order: Order,
    models: int,
    listing_requests: int,
    usual: Mapping[str, float],
    known: Mapping[str, int],
    announced: Announced,
) -> pl.DataFrame:
    """Give a row (what, quota, requests, about, seconds) for the listing and each thing that is fetched.

    `models` are those that the listing will bring, each of which may need everything: `usual` is how many requests of
    a kind a model takes. `known` is how many those take that are in the lake without it. `about` says whether the
    number is an estimate, as it is where a model may take several requests, or none.
    """
    rows = [_row("listing", "api", listing_requests, order.mode not in ("ids", "sample"), order, announced)]
    for what in order.wants:
        requests = max(math.ceil(models * usual[what]), known[what])
        rows.append(_row(what, PHASES[what].quota, requests, True, order, announced))
    return pl.DataFrame(rows, COLUMNS, orient="row")


def _row(
    what: str, kind: str, requests: int, about: bool, order: Order, announced: Announced
) -> tuple[str, str, int, bool, float]:
    return what, kind, requests, about, duration(requests, quota(kind, announced), order.polite)


def listing_requests(order: Order, models: int) -> int:
    """How many requests a listing of so many models takes: a page each thousand, or one a model."""
    return models if order.mode in ("ids", "sample") else max(1, math.ceil(models / PAGE))


def told(plan: pl.DataFrame, announced: Announced, share: float) -> str:
    """Give the plan as lines for a person."""
    lines = [
        f"{what}: {'about ' if about else ''}{requests:,} requests ({kind}), {_time(seconds)}"
        for what, kind, requests, about, seconds in plan.iter_rows()
    ]
    quotas = [f"{kind} {most:,} in {window:g} s" for kind in ANONYMOUS for most, window in [quota(kind, announced)]]
    used = "" if share == 1 else f", of which {share:.0%} are used"
    return "\n".join(
        [*lines, f"together {_time(float(plan['seconds'].sum()))} at the hub's quotas: {', '.join(quotas)}{used}"]
    )


def for_people(plan: pl.DataFrame) -> pl.DataFrame:
    """Give the plan with durations in words, and a last row for all of it."""
    rows = [
        (what, kind, f"{'about ' if about else ''}{requests:,}", _time(seconds))
        for what, kind, requests, about, seconds in plan.iter_rows()
    ]
    everything = f"{'about ' if plan['about'].any() else ''}{plan['requests'].sum():,}"
    rows.append(("together", None, everything, _time(float(plan["seconds"].sum()))))
    return pl.DataFrame(rows, dict.fromkeys(["what", "quota", "requests", "time"], pl.String), orient="row")


def _time(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> _time(0.0), _time(600.0), _time(9000.0), _time(200000.0)
    ('less than a minute', '10 minutes', '2.5 hours', '2.3 days')
    """
    if seconds < 60:
        return "less than a minute"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172800 else f"{seconds / 86400:.1f} days"
