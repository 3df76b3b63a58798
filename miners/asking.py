"""The client that asks a hub for one run, inside the limits of what was ordered."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from miners.http import HubClient
from miners.order import Order
from miners.pacing import Enough
from schemas.errors import UsageError


@contextmanager
def asking(client: HubClient | None, make: Callable[[], HubClient], order: Order) -> Iterator[HubClient]:
    """Give the client that asks, inside the limits of the order; one that has to be made is closed at the end."""
    hub = client or make()
    try:
        hub.limit(requests=order.max_requests, hours=order.max_hours, share=order.polite)
        yield hub
    except Enough as enough:  # a run keeps its own to itself
        raise UsageError(f"{enough} before the run could begin; allow more") from enough
    finally:
        if client is None:
            hub.close()
