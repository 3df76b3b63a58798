"""Asks a hub for many small things at once, a few threads at a time, and survives what fails."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from miners.crawl import Progress
from miners.http import Answer, NotFound, Refused, TooLarge
from miners.targets import Target
from schemas.errors import HubError, UsageError

TOTAL = re.compile(r"/(\d{1,18})\Z", re.ASCII)
THREADS = 4
HARDLY_CHANCE = 12  # repositories in a row without an answer
TOGETHER = 200  # repositories whose answers are in memory at once, or fewer that have more than these
LARGEST_PORTION = 2**26  # bytes
Found = TypeVar("Found")


@dataclass
class Fetched(Generic[Found]):
    """What came of one repository: the answers as they came, what they mean, and what failed."""

    target: Target
    answers: list[Answer] = field(default_factory=list)
    found: Found | None = None
    failures: list[str] = field(default_factory=list)
    unreachable: bool = False


def fetch_all(
    targets: Sequence[Target], fetch: Callable[[Target], Fetched[Found]], progress: Progress, what: str
) -> Iterator[tuple[int, list[Fetched[Found]]]]:
    """Call `fetch` for each target in a few threads; give the results in portions, and how many are done by then.

    A portion ends when its answers have grown large, so that memory is bounded.

    `progress` hears of each result, which is one of `what`.

    Raises HubError if the hub did not answer for one target after the other: then it has gone.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    try:
        portion: list[Fetched[Found]] = []
        latest: deque[bool] = deque(maxlen=HARDLY_CHANCE)
        for done, one in enumerate(_in_order(pool, partial(_guarded, fetch), targets), start=1):
            portion.append(one)
            latest.append(one.unreachable)
            progress(done, len(targets), what)
            has_gone = len(latest) == HARDLY_CHANCE and all(latest)
            if has_gone or done == len(targets) or _is_full(portion):
                yield done, portion
                portion = []
            if has_gone:
                raise HubError(f"the hub has stopped answering: {one.failures[-1]}")
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, fetch: Callable[[Target], Fetched[Found]], targets: Sequence[Target]
) -> Iterator[Fetched[Found]]:
    """Give the results in the order of the targets, a few calls ahead and no more: results take memory."""
    ahead: deque[Future[Fetched[Found]]] = deque()
    for target in targets:
        ahead.append(pool.submit(fetch, target))
        if len(ahead) > 2 * THREADS:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _is_full(portion: Sequence[Fetched[Found]]) -> bool:
    size = sum(len(answer.body) for one in portion for answer in one.answers)
    return len(portion) >= TOGETHER or size >= LARGEST_PORTION


def _guarded(fetch: Callable[[Target], Fetched[Found]], target: Target) -> Fetched[Found]:
    try:
        return fetch(target)
    except UsageError as error:  # the address that a listed file would have is none
        return Fetched(target, failures=[str(error)])
    except HubError as error:
        gone = not isinstance(error, NotFound | Refused | TooLarge)
        return Fetched(target, failures=[str(error)], unreachable=gone)


def file_bytes(answer: Answer) -> int | None:
    """Give the size of the file that an answer is, or is a range of; None where the hub does not say."""
    total = TOTAL.search(answer.headers.get("content-range", "")) if answer.status == 206 else None
    if total:
        return int(total[1])
    stated = answer.headers.get("content-length", "")
    plain = answer.status == 200 and "content-encoding" not in answer.headers
    return int(stated) if plain and len(stated) <= 18 and stated.isdecimal() else None
