"""Asks a hub for many small things at once, a few threads at a time, and survives what fails."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, Generic, TypeVar

from miners.batch import Batch
from miners.crawl import Progress
from miners.http import Answer, NotFound, Refused, TooLarge
from miners.pacing import MOMENT, Enough
from miners.targets import Target
from schemas.errors import HubError, UsageError

TOTAL = re.compile(r"/(\d{1,18})\Z", re.ASCII)
THREADS = 8
HARDLY_CHANCE = 12  # repositories in a row without an answer
TOGETHER = 200  # repositories whose answers are in memory at once, or fewer that have more than these
LARGEST_PORTION = 2**26  # bytes
MOST_TOGETHER = 20_000  # repositories, most of which the hub need not be asked about
Found = TypeVar("Found")


@dataclass
class Fetched(Generic[Found]):
    """What came of one repository: the answers as they came, what they mean, and what failed."""

    target: Target
    answers: list[Answer] = field(default_factory=list)
    found: Found | None = None
    failures: list[str] = field(default_factory=list)
    unreachable: bool = False
    enough: Enough | None = None  # the run's limit was reached before it was whole
    found_bytes: int = 0  # memory that `found` takes, about, where that may be much


def failures(portion: Sequence[Fetched[Any]], stage: str) -> Batch:
    """Begin a batch with what failed of a portion, as failures of that stage."""
    batch = Batch()
    for one in portion:
        for reason in one.failures:
            batch.fail(one.target.model_id, stage, reason)
    return batch


@dataclass
class _Portion(Generic[Found]):
    """Results that are given together; those that took no answer are many and weigh nothing."""

    results: list[Fetched[Found]] = field(default_factory=list)
    answered: int = 0
    size: int = 0  # bytes

    def add(self, one: Fetched[Found]) -> None:
        self.results.append(one)
        self.answered += bool(one.answers or one.failures)
        self.size += one.found_bytes + sum(len(answer.body) for answer in one.answers)

    @property
    def is_full(self) -> bool:
        return self.answered >= TOGETHER or self.size >= LARGEST_PORTION or len(self.results) >= MOST_TOGETHER

    def before_the_hub_went(self) -> list[Fetched[Found]]:
        return list(takewhile(lambda each: not each.unreachable, self.results))


def fetch_all(
    targets: Iterable[Target], count: int, fetch: Callable[[Target], Fetched[Found]], progress: Progress, what: str
) -> Iterator[list[Fetched[Found]]]:
    """Call `fetch` for each of `count` targets in a few threads; give the results in portions, in the targets' order.

    A portion ends when its answers, or what they mean, have grown large, so that memory is bounded. `progress` hears
    of each result, which is one of `what`.

    Raises HubError if the hub did not answer for one target after the other: then it has gone, and what it left
    unanswered in the last portion is not given, nor what follows that, for it to be asked for again. Raises Enough at
    a limit of the run's own, after giving what came before.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
    is_patient = True
    try:
        portion, gone = _Portion[Found](), 0
        for done, one in enumerate(_in_order(pool, partial(_guarded, fetch), targets), start=1):
            gone = gone + 1 if one.unreachable else 0
            if one.enough is not None or gone == HARDLY_CHANCE:
                if whole := portion.results if one.enough else portion.before_the_hub_went():
                    yield whole
                raise one.enough or HubError(f"the hub has stopped answering: {one.failures[-1]}")
            portion.add(one)
            progress(done, count, what)
            if portion.is_full and not gone:
                yield portion.results
                portion = _Portion()
        if portion.results:
            yield portion.results
    except (KeyboardInterrupt, SystemExit):  # the threads may sleep for minutes, until their client is closed
        is_patient = False
        raise
    finally:
        pool.shutdown(is_patient, cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, fetch: Callable[[Target], Fetched[Found]], targets: Iterable[Target]
) -> Iterator[Fetched[Found]]:
    """Give the results in the order of the targets, a few calls ahead and no more: results take memory."""
    ahead: deque[Future[Fetched[Found]]] = deque()
    for target in targets:
        ahead.append(pool.submit(fetch, target))
        if len(ahead) > 2 * THREADS:
            one = _result(ahead.popleft())
            yield one
            if one.enough is not None:
                break
    while ahead:
        yield _result(ahead.popleft())


def _result(future: Future[Fetched[Found]]) -> Fetched[Found]:
    """Wait for a result, a moment at a time: polars lets Ctrl-C through only where Python comes to look."""
    while wait([future], timeout=MOMENT).not_done:
        continue
    return future.result()


def _guarded(fetch: Callable[[Target], Fetched[Found]], target: Target) -> Fetched[Found]:
    try:
        return fetch(target)
    except Enough as enough:
        return Fetched(target, enough=enough)
    except UsageError as error:  # the address that a listed file would have is none
        return Fetched(target, failures=[str(error)])
    except HubError as error:
        return Fetched(target, failures=[str(error)], unreachable=is_no_answer(error))


def is_no_answer(error: Exception) -> bool:
    """Whether an error says that the hub did not answer, rather than what it answered."""
    return isinstance(error, HubError) and not isinstance(error, NotFound | Refused | TooLarge)


def file_bytes(answer: Answer) -> int | None:
    """Give the size of the file that an answer is, or is a range of; None where the hub does not say."""
    total = TOTAL.search(answer.headers.get("content-range", "")) if answer.status == 206 else None
    if total:
        return int(total[1])
    stated = answer.headers.get("content-length", "")
    plain = answer.status == 200 and "content-encoding" not in answer.headers
    return int(stated) if plain and len(stated) <= 18 and stated.isdecimal() else None
