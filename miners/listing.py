"""Reads a hub's listing of models page by page into the lake, every answer kept before anything is made of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from miners.batch import Batch
from miners.crawl import Progress, Run
from miners.http import Answer, HubClient, next_page
from miners.pages import Page
from miners.raw import keep
from miners.records import HUB, rows
from miners.targets import Target, targets
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
    answer = _page(hub, "/api/models", {**query, "limit": min(limit or PAGE, PAGE), "expand": EXPAND})
    start = answer.body.removeprefix(UTF8_MARK).lstrip()[:80]
    if not start.startswith(b"["):
        raise HubError(f"{hub.endpoint} answers with {start.decode(errors='replace')!r}, expected a list of models")
    return answer


def pages(hub: HubClient, first: Answer, folder: Path) -> Iterator[tuple[Answer, str | None]]:
    """Give each page, kept in `folder` by then, and the address of the next one.

    Raises HubError if the hub stops answering, or leads in a circle.
    """
    answer, number, visited = first, 0, {first.url}
    while True:
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
        answer, number = _page(hub, following), number + 1


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
    """The listing of one run on its way into the lake, at most `limit` records of it."""

    def __init__(self, run: Run, limit: int | None, progress: Progress, wants_targets: bool = False) -> None:
        self._run = run
        self._limit = limit
        self._progress = progress
        self._pages: list[Page] = []
        self._rows = Batch()
        self._names: set[str] = set()
        self._answered_at = run.started
        self._wants_targets = wants_targets
        self._targets: dict[str, Target] = {}

    def read(self, found: Iterable[tuple[Answer, str | None]]) -> list[Target]:
        """Read pages, each with the address of the next one, and say what there is to fetch of each model, if wanted.

        What has come is stored even if `found` raises.
        """
        following = None
        try:
            for answer, following in found:
                self._pages.append(Page(answer.url, answer.fetched_at, answer.body))
                if len(self._pages) == PAGES_TOGETHER or self._may_be_enough():
                    self._store(following)
                if self._limit is not None and self._run.crawl.rows_seen >= self._limit:
                    break
        finally:
            self._store(following)
            self._hand_over()
        return list(self._targets.values())

    def _may_be_enough(self) -> bool:
        return self._limit is not None and self._run.crawl.rows_seen + len(self._pages) * PAGE >= self._limit

    def _store(self, following: str | None) -> None:
        """Turn the gathered pages into rows, and hand them over to the run when it is time for a commit."""
        if not self._pages:
            return
        run, crawl = self._run, self._run.crawl
        batch = rows(self._pages, crawl.crawl_id, None if self._limit is None else self._limit - crawl.rows_seen)
        names = {name for model in batch.frames.get("model", []) for name in model["model_id"]}
        if not self._names.isdisjoint(names):  # listed again: the older rows go first, for the newer to replace them
            self._hand_over()
        self._rows.extend([batch])
        self._names |= names
        self._answered_at = self._pages[-1].fetched_at
        self._pages = []
        crawl.rows_seen += batch.seen
        crawl.rows_stored += batch.stored
        crawl.failures += batch.failed
        run.cursor = following
        if run.is_due(self._rows.seen):
            self._hand_over()
        self._progress(crawl.rows_seen, self._limit, "models")

    def _hand_over(self) -> None:
        """Queue one change for all rows so far: merging them at once is quicker than page by page."""
        found, self._rows, self._names = self._rows, Batch(), set()
        tables = found.tables(HUB, self._run.crawl.crawl_id, self._answered_at)
        if self._wants_targets:
            self._targets |= {target.model_id: target for target in targets(tables)}
        self._run.add(partial(merge_models, tables=tables), records=found.seen)
