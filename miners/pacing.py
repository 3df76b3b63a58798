"""When to send the next request to a hub: its quotas are kept before it refuses, failures back off."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
RESET_MARGIN = 1.0  # seconds; hubs tell the end of a window in whole seconds


@dataclass
class Budget:
    """Requests of a kind that the hub still takes before the end of its window."""

    left: int
    until: float


class Pacer:
    """Keeps a client inside the quotas that a hub states in RateLimit headers, one a kind; safe to share by threads."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._budgets: dict[str, Budget] = {}
        self._lock = threading.Lock()

    def enter(self, kind: str) -> None:
        """Take one request of a kind from its quota; sleep until the window ends where nothing is left.

        Raises HubError where that would take longer than LONGEST_WAIT.
        """
        budget = self._spent(kind)
        if budget is None:
            return
        wait = budget.until - self._clock()
        if wait > LONGEST_WAIT:
            raise HubError(f"The hub's quota for {kind} is spent for {wait / 3600:.1f} hours; come back then.")
        self._sleep(max(0.0, wait))
        self._forget(kind, budget)

    def note(self, kind: str, headers: Mapping[str, str]) -> None:
        """Remember what an answer says is left of a kind.

        Answers may arrive out of order and other requests may be under way, so within a window the smaller of the
        hub's number and our own counts.
        """
        said = rate_limit(headers)
        if said is None:
            return
        with self._lock:
            now, budget = self._clock(), self._budgets.get(kind)
            if budget is not None and now < budget.until:
                budget.left = min(budget.left, said.remaining)
            else:
                wait = min(said.reset_in_seconds, FAR_AWAY) + RESET_MARGIN
                self._budgets[kind] = Budget(said.remaining, now + wait)

    def _spent(self, kind: str) -> Budget | None:
        """Count a request; the budget if it had nothing left for it."""
        with self._lock:
            budget = self._budgets.get(kind)
            if budget is None or self._clock() >= budget.until:
                self._budgets.pop(kind, None)
                return None
            if budget.left == 0:
                return budget
            budget.left -= 1
            return None

    def _forget(self, kind: str, budget: Budget) -> None:
        with self._lock:
            if self._budgets.get(kind) is budget:
                del self._budgets[kind]


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
