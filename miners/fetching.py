"""Asks a hub for many small things at once, a few threads at a time, and survives what fails."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from miners.http import Answer, NotFound, Refused, TooLarge
from miners.targets import Target
from schemas.errors import HubError

TOTAL = re.compile(r"/(\d{1,18})\Z", re.ASCII)
THREADS = 4
HARDLY_CHANCE = 20  # repositories in a row without an answer
TOGETHER = 200  # repositories whose answers are in memory at once
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
    targets: Sequence[Target], fetch: Callable[[Target], Fetched[Found]]
) -> Iterator[tuple[int, list[Fetched[Found]]]]:
    """Call `fetch` for each target in a few threads; give the results in portions, and how many are done by then.

    Raises HubError if the hub did not answer for a single one of many: then it has gone.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    try:
        for begin in range(0, len(targets), TOGETHER):
            portion = targets[begin : begin + TOGETHER]
            done = list(pool.map(lambda target: _guarded(fetch, target), portion))
            yield begin + len(portion), done
            if len(done) >= HARDLY_CHANCE and all(one.unreachable for one in done):
                raise HubError(f"the hub has stopped answering: {done[-1].failures[-1]}")
    finally:
        pool.shutdown(cancel_futures=True)


def _guarded(fetch: Callable[[Target], Fetched[Found]], target: Target) -> Fetched[Found]:
    try:
        return fetch(target)
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
    return int(stated) if plain and stated.isdecimal() else None
