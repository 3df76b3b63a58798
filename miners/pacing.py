"""When to send the next request to a hub: its quotas are kept before it refuses, failures back off."""

import math
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but its lazy exports hide from mypy
    RateLimitInfo,
    parse_ratelimit_headers,
)

from schemas.errors import HubError

LONGEST_WAIT = 3600.0  # seconds; a hub that asks for more is not waited for
FIRST_BACKOFF = 0.5  # seconds; doubles with each failure
LONGEST_BACKOFF = 60.0
FAR_AWAY = 10**9  # seconds; a hub may name any number
LONG = 10.0  # seconds; whoever waits longer is told why
MOMENT = 1.0  # seconds; after each of them a thread that waits looks whether somebody wants it to end
TICK = 0.05  # seconds; how often is looked whether a request has come back
RESET_MARGIN = 1.0  # seconds; hubs tell the end of a window in whole seconds


class Enough(Exception):
    """A limit of requests or hours that a run was given is reached; nothing is wrong, and it can go on later."""


@dataclass
class Quota:
    """What is known of the hub's quota for a kind of request.

    The hub counts in windows of its own: `left` until `ends`. We also count over every window of `seconds`, wherever
    it begins, by the moments at which answers came (`answered`): the hub saw each request before that.
    """

    left: int | None = None
    ends: float = 0.0
    announced: int | None = None
    seconds: float = 0.0
    answered: deque[float] = field(default_factory=deque)
    under_way: int = 0
    is_known: bool = False


class Pacer:
    """Keeps a client inside the quotas that a hub states in RateLimit headers, one a kind; safe to share by threads.

    Of a kind that the hub has said nothing about yet, one request is under way at a time. `say` hears what a long wait
    is for.
    """

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None] | None = None) -> None:
        self.say: Callable[[str], None] = lambda text: None
        self._clock = clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._doze
        self._quotas: dict[str, Quota] = {}
        self._changed = threading.Condition()
        self._share = 1.0
        self._most: int | None = None
        self._ends: float | None = None
        self._told_until = -math.inf
        self.requests = 0

    def limit(self, requests: int | None, seconds: float | None, share: float) -> None:
        """From now on send at most so many requests for so many seconds, and use that share of each quota."""
        self._most = None if requests is None else self.requests + requests
        self._ends = None if seconds is None else self._clock() + seconds
        self._share = share

    def announced(self, kind: str) -> tuple[int, float] | None:
        """How many requests of a kind the hub takes, and in how many seconds; None where it has not said."""
        quota = self._quotas.get(kind, Quota())
        return None if quota.announced is None else (quota.announced, quota.seconds)

    def enter(self, kind: str) -> None:
        """Take one request of a kind from its quota; sleep until that is possible.

        Raises HubError where that would take longer than LONGEST_WAIT, and Enough at a limit of the run's own.
        """
        while (wait := self._taken(kind)) > 0:
            if wait > LONGEST_WAIT + RESET_MARGIN:
                raise HubError(f"The hub's quota for {kind} is spent for {wait / 3600:.1f} hours; come back then.")
            self.rest(wait, f"the hub's quota of requests ({kind}) is used up")
            self._forget(kind, wait)

    def rest(self, seconds: float, why: str) -> None:
        """Sleep, and tell why if it takes long. Raises Enough where the run's hours are over before that."""
        if self._ends is not None and self._clock() + seconds >= self._ends:
            raise Enough("the run's hours are over")
        self._tell(seconds, why)
        self._sleep(seconds)
        if self._stopped.is_set():
            raise Enough("the client was closed")

    def _tell(self, seconds: float, why: str) -> None:
        """Say once for all threads that wait at the same time what they wait for."""
        ends = self._clock() + seconds
        with self._changed:
            is_told = ends < self._told_until + MOMENT
            self._told_until = max(self._told_until, ends)
        if seconds >= LONG and not is_told:
            self.say(f"{why}; going on in {seconds:.0f} seconds")

    def _doze(self, seconds: float) -> None:
        """Sleep a moment at a time: polars lets Ctrl-C through only where Python comes to look."""
        ends = self._clock() + seconds
        while (left := ends - self._clock()) > 0 and not self._stopped.wait(min(left, MOMENT)):
            continue

    def stop(self) -> None:
        """Wake who sleeps, and let nobody sleep any more: they get Enough."""
        self._stopped.set()

    def note(self, kind: str, headers: Mapping[str, str]) -> None:
        """Remember that a request of a kind is answered, or has failed, and what the answer says of the quota.

        Answers may arrive out of order and other requests may be under way, so within a window the smaller of the
        hub's number and our own counts.
        """
        said = rate_limit(headers)
        with self._changed:
            now, quota = self._clock(), self._quotas.setdefault(kind, Quota())
            quota.under_way = max(0, quota.under_way - 1)
            quota.answered.append(now)
            quota.is_known = True
            if said is not None:
                _learn(quota, said, now)
            self._changed.notify_all()

    def _taken(self, kind: str) -> float:
        """Count a request and give 0, or give the seconds to wait for that."""
        with self._changed:
            quota = self._quotas.setdefault(kind, Quota())
            while not quota.is_known and quota.under_way:
                self._changed.wait()
            self._check_enough()
            wait = self._wait(quota)
            if wait <= 0:
                self.requests += 1
                quota.under_way += 1
                quota.left = None if quota.left is None else quota.left - 1
            return wait

    def _check_enough(self) -> None:
        if self._most is not None and self.requests >= self._most:
            raise Enough(f"{self._most} requests were sent")
        if self._ends is not None and self._clock() >= self._ends:
            raise Enough("the run's hours are over")

    def _wait(self, quota: Quota) -> float:
        now = self._clock()
        if quota.left is not None and now >= quota.ends:
            quota.left = None
        if quota.left is not None and quota.left <= 0:
            return max(quota.ends - now, TICK)
        if quota.announced is None:
            quota.answered.clear()
            return 0.0
        while quota.answered and quota.answered[0] + quota.seconds + RESET_MARGIN <= now:
            quota.answered.popleft()
        if len(quota.answered) + quota.under_way < max(1, int(quota.announced * self._share)):
            return 0.0
        return quota.answered[0] + quota.seconds + RESET_MARGIN - now if quota.answered else TICK

    def _forget(self, kind: str, wait: float) -> None:
        """After a wait the hub's window is over, even where the clock does not say so."""
        with self._changed:
            quota = self._quotas[kind]
            if quota.left is not None and quota.left <= 0 and wait > TICK:
                quota.left = None


def _learn(quota: Quota, said: RateLimitInfo, now: float) -> None:
    if quota.left is not None and now < quota.ends:
        quota.left = min(quota.left, said.remaining)
    else:
        quota.left, quota.ends = said.remaining, now + min(said.reset_in_seconds, FAR_AWAY) + RESET_MARGIN
    if said.limit and said.window_seconds:
        quota.announced, quota.seconds = said.limit, float(min(said.window_seconds, FAR_AWAY))


def kind_of(path: str) -> str:
    """The quota that the Hub counts a request under, by its path: resolvers, api or pages.

    >>> kind_of("/api/models"), kind_of("/gpt2/resolve/main/README.md"), kind_of("/gpt2")
    ('api', 'resolvers', 'pages')
    """
    if "/resolve/" in path or path.startswith("/api/resolve-cache/"):
        return "resolvers"
    return "api" if path.startswith("/api/") else "pages"


def rate_limit(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """What the RateLimit headers say; None where they are absent or unreadable."""
    try:
        return parse_ratelimit_headers(headers)
    except ValueError:  # a number of more digits than Python converts
        return None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the Retry-After header asks to wait, given as seconds or as a date; None where it does not.

    A date counts from the answer's own Date, if it has one, so that the two clocks need not agree.

    >>> retry_after({"retry-after": "7"}, datetime(2030, 1, 1, tzinfo=UTC))
    7.0
    >>> retry_after({"retry-after": "Tue, 01 Jan 2030 00:02:00 GMT"}, datetime(2030, 1, 1, tzinfo=UTC))
    120.0
    """
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    then = http_date(value)
    if then is None:
        return None
    return max(0.0, (then - (http_date(headers.get("date", "")) or now)).total_seconds())


def http_date(value: str) -> datetime | None:
    """An HTTP date as a time in UTC; None where it is none."""
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return then.astimezone(UTC) if then.tzinfo is not None else then.replace(tzinfo=UTC)


def backoff(attempt: int, jitter: random.Random) -> float:
    """Seconds to wait after the failed attempt number `attempt` (from 1): doubling, half of it random."""
    longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(attempt - 1, 30))
    return longest * jitter.uniform(0.5, 1.0)
