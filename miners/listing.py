"""Reads a hub's listing of models page by page into the lake, every answer kept before anything is made of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

from huggingface_hub.errors import BadRequestError

from miners.batch import Batch
from miners.crawl import Progress, Run
from miners.http import Answer, HubClient, next_page
from miners.interrupts import uninterrupted
from miners.pages import Page
from miners.raw import keep
from miners.records import HUB, rows
from schemas.errors import HubError
from schemas.mined import merge_models

UTF8_MARK = b"\xef\xbb\xbf"
PAGE = 1000  # records, the most that the Hub gives
EXPAND = [
    *("author", "baseModels", "cardData", "childrenModelCount", "config", "createdAt", "disabled", "downloads"),
    *("downloadsAllTime", "evalResults", "gated", "gguf", "inference", "inferenceProviderMapping", "lastModified"),
    *("library_name", "likes", "model-index", "pipeline_tag", "private", "resourceGroup", "safetensors", "sha"),
    *("siblings", "spaces", "tags", "transformersInfo", "trendingScore", "usedStorage"),
]
BROKEN_PAGE_ATTEMPTS = 3
PAGES_TOGETHER = 10  # turned into rows at once: quicker than one by one

Parameters = Mapping[str, str | int | Sequence[str]]


def first_page(hub: HubClient, query: Mapping[str, str], limit: int | None) -> Answer:
    """Ask for the models that `query` chooses, everything expanded.

    Raises HubError if what answers is no hub: a page for browsers, an error that calls itself a success.
    """
    return _checked(hub, _page(hub, "/api/models", {**query, "limit": min(limit or PAGE, PAGE), "expand": EXPAND}))


def page_at(hub: HubClient, cursor: str) -> Answer:
    """Ask for the page at which an earlier run stopped.

    Raises HubError if the cursor leads to another hub, or this one does not know it any more.
    """
    if not cursor.startswith(f"{hub.endpoint}/"):
        raise HubError(f"the cursor of the unfinished crawl is not one of {hub.endpoint}; begin anew with --restart")
    try:
        return _checked(hub, _page(hub, cursor))
    except HubError as error:
        if isinstance(error.__cause__, BadRequestError):
            raise HubError(f"{hub.endpoint} no longer knows the cursor; begin anew with --restart: {error}") from error
        raise


def _checked(hub: HubClient, answer: Answer) -> Answer:
    start = answer.body.removeprefix(UTF8_MARK).lstrip()[:80]
    if not start.startswith(b"["):
        raise HubError(f"{hub.endpoint} answers with {start.decode(errors='replace')!r}, expected a list of models")
    return answer


def listed(page: Answer) -> int:
    """Count the models of a page; of one that is cut off, as many as a page may have."""
    try:
        return len(json.loads(page.body.removeprefix(UTF8_MARK)))
    except ValueError:
        return PAGE


def pages(hub: HubClient, first: Answer, folder: Path) -> Iterator[tuple[Answer, str | None]]:
    """Give each page, kept in `folder` by then, and the address of the next one.

    Raises HubError if the hub stops answering, or leads in a circle.
    """
    answer, visited = first, {first.url}
    for number in count(_kept(folder)):
        keep(folder, f"{number:06d}", [answer])
        following = next_page(answer)
        yield answer, following
        if following is None:
            return
        if following in visited:
            raise HubError(
                f"{hub.endpoint} leads in a circle: page {number} names one as the next that was read before"
            )
        visited.add(following)
        answer = _page(hub, following)


def _kept(folder: Path) -> int:
    """Count the pages that earlier processes of the crawl have kept, committed or not; none is written over."""
    return sum(path.stem.isdecimal() for path in folder.glob("*.parquet"))


def _page(hub: HubClient, url: str, parameters: Parameters | None = None) -> Answer:
    """Fetch a page, again if it is cut off; after some attempts what there is has to do."""
    answer = hub.get(url, parameters=parameters)
    for _ in range(BROKEN_PAGE_ATTEMPTS - 1):
        body = answer.body.strip()
        if body.startswith(b"[") and body.endswith(b"]"):
            break
        answer = hub.get(url, parameters=parameters)
    return answer


class Listing:
    """The listing of one run on its way into the lake.

    At most `limit` records of it are stored; if it is sorted by its last changes, it ends with the page that reaches
    back to the moment `since`.
    """

    def __init__(self, run: Run, limit: int | None, progress: Progress, since: datetime | None = None) -> None:
        self._run = run
        self._limit = limit
        self._progress = progress
        self._since = since
        self._pages: list[Page] = []
        self._rows = Batch()
        self._names: set[str] = set()
        self._answered_at = run.started
        self._oldest: datetime | None = None
        self._following = run.cursor
        self._listed_at = run.listed_at

    def read(self, found: Iterable[tuple[Answer, str | None]]) -> None:
        """Read pages, each with the address of the next one. What has come is stored even if `found` raises."""
        following = None
        try:
            for answer, after in found:
                with uninterrupted():
                    self._pages.append(Page(answer.url, answer.fetched_at, answer.body))
                    following = after
                if self._is_time():
                    self._store(following)
                if self._is_enough():
                    break
            else:
                self._store(None)
            with uninterrupted():
                following, self._following, self._listed_at = None, None, self._run.now()
        finally:
            self._store(following)
            self._hand_over()

    def _is_time(self) -> bool:
        return len(self._pages) == PAGES_TOGETHER or self._may_be_enough() or self._run.is_due()

    def _may_be_enough(self) -> bool:
        if self._since is not None:
            return True
        return self._limit is not None and self._run.crawl.rows_seen + len(self._pages) * PAGE >= self._limit

    def _is_enough(self) -> bool:
        if self._since is not None and self._oldest is not None and self._oldest < self._since:
            return True
        return self._limit is not None and self._run.crawl.rows_seen >= self._limit

    def _store(self, following: str | None) -> None:
        """Turn the gathered pages into rows, and hand them over to the run when it is time for a commit.

        Where no page is `following`, the listing has come to its end.
        """
        if not self._pages:
            return
        run, crawl = self._run, self._run.crawl
        batch = rows(self._pages, crawl.crawl_id, None if self._limit is None else self._limit - crawl.rows_seen)
        models = batch.frames.get("model", [])
        names = {name for model in models for name in model["model_id"]}
        if not self._names.isdisjoint(names):  # listed again: the older rows go first, for the newer to replace them
            self._hand_over()
        changed = [time for model in models for time in model["modified_at"] if time is not None] if self._since else []
        with uninterrupted():
            self._rows.extend([batch])
            self._names |= names
            self._answered_at = self._pages[-1].fetched_at
            self._oldest = min(changed, default=None)
            self._pages = []
            crawl.rows_seen += batch.seen
            crawl.rows_stored += batch.stored
            crawl.failures += batch.failed
            self._following, self._listed_at = following, run.now() if following is None else None
        if run.is_due(self._rows.seen):
            self._hand_over()
        self._progress(crawl.rows_seen, self._limit, "models")

    def _hand_over(self) -> None:
        """Queue one change for all rows so far: merging them at once is quicker than page by page.

        Only then does the run go on behind them, whatever interrupts it before.
        """
        tables = self._rows.tables(HUB, self._run.crawl.crawl_id, self._answered_at)
        with uninterrupted():
            self._run.queue(partial(merge_models, tables=tables), records=self._rows.seen)
            self._run.cursor, self._run.listed_at = self._following, self._listed_at
            self._rows, self._names = Batch(), set()
        self._run.commit_if_due()
