"""Misbehaviour on order: which requests the test hub answers wrongly, how, and how often."""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from tests.hub.messages import Reply, as_json, refusal

Fault = Literal[
    "429",  # too many requests, though quota is left
    "500",
    "503",
    "timeout",  # no answer for longer than a client waits
    "broken json",  # the second half of the body is missing, and Content-Length agrees
    "cut body",  # the connection closes after half of the body that Content-Length promises
    "wrong content-length",  # promises more bytes than there are and keeps the connection open
    "reset",  # the connection is reset before any answer
    "ignored range",  # 200 and the whole file where a range was asked
    "wrong content-range",  # 206 for other bytes than those asked for
]

REFUSALS: Mapping[str, Reply] = {
    "429": refusal(429, "TooManyRequests", "Slow down, please."),
    "500": as_json({"error": "Internal Error - We're working hard to fix this as soon as possible!"}, 500),
    "503": Reply(503, {"Content-Type": "text/html"}, b"<html><body>Service Unavailable</body></html>"),
}


@dataclass
class Order:
    """Requests whose path matches get a fault, or a reply of the test's own, a number of times."""

    pattern: str  # fnmatch, against the decoded path
    kind: Fault | Reply
    times: int


PASSING: tuple[Fault, ...] = ("429", "500", "503", "cut body", "reset", "broken json")  # half a card is a card


class Orders:
    """The orders that are still to be carried out, the oldest first, and faults by chance."""

    def __init__(self) -> None:
        self._orders: list[Order] = []
        self.fail_at_random(0.0, 0)
        self._lock = threading.Lock()

    def add(self, order: Order) -> None:
        """Take an order; a kind that does not exist is refused at once."""
        if isinstance(order.kind, str) and order.kind not in get_args(Fault):
            raise ValueError(f"{order.kind!r} is no misbehaviour; choose from {', '.join(get_args(Fault))}")
        with self._lock:
            self._orders.append(order)

    def fail_at_random(self, rate: float, seed: int) -> None:
        """From now on answer this share of all requests with a passing fault, which ones decided by the seed."""
        self._rate = rate
        self._chance = random.Random(seed)

    def clear(self) -> None:
        """Forget all orders."""
        with self._lock:
            self._orders.clear()

    def take(self, path: str) -> Fault | Reply | None:
        """What the next request of a path gets instead of a good answer."""
        with self._lock:
            for order in self._orders:
                if order.times > 0 and fnmatchcase(path, order.pattern):
                    order.times -= 1
                    return order.kind
            if self._rate and self._chance.random() < self._rate:
                return self._chance.choice(PASSING if path.startswith("/api/") else PASSING[:-1])
        return None


def spoiled(reply: Reply, fault: Fault) -> Reply:
    """A good reply turned into what a fault makes of it, as far as status, headers and body show it."""
    if fault in REFUSALS:
        return REFUSALS[fault]
    if fault == "broken json":
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if fault == "wrong content-range" and reply.status == 206:
        return reply.having(Content_Range=f"bytes 1-{len(reply.body)}/{len(reply.body) + 1}")
    return reply
