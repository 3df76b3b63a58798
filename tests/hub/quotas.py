"""The test hub's quotas: so many requests a window and kind, told in the RateLimit headers of every answer."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.hub.messages import Request

GENEROUS = {"api": 1_000_000, "resolvers": 1_000_000, "pages": 1_000_000}


@dataclass(frozen=True)
class Quota:
    """How many requests of a kind a client may make in a window of so many seconds."""

    requests: int
    seconds: float = 300.0


def kind_of(request: Request) -> str:
    """The kind that the Hub counts a request under: api, resolvers or pages."""
    if "resolve" in request.segments:
        return "resolvers"
    return "api" if request.segments[:1] == ("api",) else "pages"


class Turnstile:
    """Counts requests in fixed windows, one window a kind, starting with the first request of each."""

    def __init__(self, quotas: Mapping[str, Quota], clock: Callable[[], float]) -> None:
        self._quotas = {kind: Quota(requests) for kind, requests in GENEROUS.items()} | dict(quotas)
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}  # kind: when the window ends, requests counted in it
        self._lock = threading.Lock()

    def admit(self, kind: str) -> tuple[bool, dict[str, str]]:
        """Whether one more request of a kind is let in, and the headers that say how many are left."""
        quota = self._quotas[kind]
        with self._lock:
            now = self._clock()
            ends, count = self._windows.get(kind, (0.0, 0))
            if now >= ends:
                ends, count = now + quota.seconds, 0
            admitted = count < quota.requests
            self._windows[kind] = (ends, count + admitted)
        left = quota.requests - count - admitted
        return admitted, headers(kind, left, math.ceil(ends - now), quota)


def headers(kind: str, left: int, reset: int, quota: Quota) -> dict[str, str]:
    """The RateLimit and RateLimit-Policy headers in the Hub's wording."""
    return {
        "RateLimit": f'"{kind}";r={left};t={reset}',
        "RateLimit-Policy": f'"fixed window";"{kind}";q={quota.requests};w={math.ceil(quota.seconds)}',
    }
