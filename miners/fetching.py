"""Asks a hub for many small things at once, a few threads at a time, and survives what fails."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from miners.crawl import Progress
from miners.http import Answer, NotFound, Refused, TooLarge
from miners.targets import Target
from schemas.errors import HubError

TOTAL = re.compile(r"/(\d{1,18})\Z", re.ASCII)
THREADS = 4
HARDLY_CHANCE = 12  # repositories in a row without an answer
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
    targets: Sequence[Target], fetch: Callable[[Target], Fetched[Found]], progress: Progress, what: str
) -> Iterator[tuple[int, list[Fetched[Found]]]]:
    """Call `fetch` for each target in a few threads; give the results in portions, and how many are done by then.

    `progress` hears of each result, which is one of `what`.

    Raises HubError if the hub did not answer for one target after the other: then it has gone.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    try:
        for begin in range(0, len(targets), TOGETHER):
            done: list[Fetched[Found]] = []
            for one in pool.map(partial(_guarded, fetch), targets[begin : begin + TOGETHER]):
                done.append(one)
                progress(begin + len(done), len(targets), what)
                if _has_gone(done):
                    break
            yield begin + len(done), done
            if _has_gone(done):
                raise HubError(f"the hub has stopped answering: {done[-1].failures[-1]}")
    finally:
        pool.shutdown(cancel_futures=True)


def _has_gone(done: Sequence[Fetched[Found]]) -> bool:
    return len(done) >= HARDLY_CHANCE and all(one.unreachable for one in done[-HARDLY_CHANCE:])


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
