"""Reads a hub's pages into the lake, one after the other, and finds out what they leave out."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from miners.answers import Answer
from miners.batch import Batch, Failure
from miners.crawl import Progress, Run
from miners.http import HubClient
from miners.interrupts import uninterrupted
from miners.nothing import check_stored
from miners.package import Lost, Package
from miners.package_rows import add_packages
from miners.paged_hub import Claim, Listed, PagedHub
from miners.raw import keep
from miners.source import contents
from schemas.described import merge_packages
from schemas.errors import DataError, HubError
from schemas.lake import Lake

ATTEMPTS = 3  # at a page that is no JSON of the kind that it should be
SEEN = """
SELECT lower(coalesce(owner, '')) AS owner, count(*) AS models FROM model
WHERE hub = $hub AND crawl_id = $crawl_id AND NOT contains(coalesce(owner, ''), '/') GROUP BY ALL
"""


class Reader:
    """Reads the pages of one run into the lake. `is_whole` says whether nothing was lost or missing."""

    def __init__(
        self, paged: PagedHub, run: Run, lake: Lake, client: HubClient, limit: int | None, progress: Progress
    ) -> None:
        self._paged = paged
        self._run = run
        self._lake = lake
        self._client = client
        self._limit = limit
        self._progress = progress
        self._total: int | None = None
        self._missing = 0
        self._kept: dict[str, int] = {}
        self._known = self._known_before()
        self._complaints: list[Failure] = []

    def _known_before(self) -> set[str]:
        """Give the names that earlier processes of the crawl have counted: a listing may name a model twice."""
        if self._run.crawl.rows_seen == 0:
            return set()
        query = "SELECT model_id FROM model WHERE hub = $hub AND crawl_id = $crawl_id"
        ids = self._lake.sql(query, hub=self._paged.hub, crawl_id=self._run.crawl.crawl_id)["model_id"]
        return {model_id.removeprefix(f"{self._paged.hub}:") for model_id in ids}

    @property
    def is_whole(self) -> bool:
        """Whether every model that there is was stored."""
        return self._missing == 0 and self._run.crawl.failures == 0

    def read_source(self, place: Path) -> None:
        """Read saved pages: every .json file of a folder or archive; DataError if they give no model."""
        found = contents(place, lambda path, size: path.endswith(".json"))
        for path, body in sorted(found.files.items()):
            try:
                self._store(self._paged.read(body, "").records)
            except DataError as error:
                self._fail(path, "file", str(error))
        for path, reason in found.refused.items():
            self._fail(path, "file", reason)
        check_stored(self._run.crawl, str(place), self._complaints)

    def read_site(self, wishes: Mapping[str, str]) -> None:
        """Read the listing, from where an earlier run stopped, and look for what it leaves out."""
        run = self._run
        if run.listed_at is None:
            parameters = {self._paged.asked[name]: value for name, value in wishes.items()}
            for listed in self._pages(run.cursor or self._paged.first(parameters)):
                self._total = listed.total or self._total
                self._store(listed.records, listed)
                if self._limit is not None and run.crawl.rows_seen >= self._limit:
                    break
            with uninterrupted():
                run.cursor, run.listed_at = None, run.now()
        run.flush()
        if self._limit is None:
            self._compare_total()
            if self._paged.claims is not None and not wishes:
                try:
                    self._compare_claims(list(self._paged.claims(self._ask)))
                except (DataError, HubError) as error:
                    self._fail(self._client.endpoint, "missing", f"what is left out could not be found out: {error}")

    def check_site(self) -> None:
        """Raise DataError if the site gave no model, unless it says itself that it has none."""
        if self._complaints or self._total:
            check_stored(self._run.crawl, self._client.endpoint, self._complaints)

    def _ask(self, address: str) -> bytes:
        return self._fetched(address, "claims").body

    def _fetched(self, address: str, name: str) -> Answer:
        answer = self._client.get(address)
        if name not in self._kept:  # with those that earlier processes of the crawl have kept
            self._kept[name] = sum(1 for _ in self._run.folder.glob(f"{name}-*.parquet"))
        keep(self._run.folder, f"{name}-{self._kept[name]:06d}", [answer])
        self._kept[name] += 1
        return answer

    def _pages(self, address: str) -> Iterator[Listed]:
        """Give pages, one after the other; HubError if the hub answers something else, or leads in a circle."""
        visited = set[str]()
        for number in count(1):
            visited.add(address)
            listed = self._page(address)
            yield listed
            if listed.following is None:
                return
            if listed.following in visited:
                raise HubError(
                    f"{self._client.endpoint} leads in a circle: page {number} names one that was read before"
                )
            address = listed.following

    def _page(self, address: str) -> Listed:
        for _ in range(ATTEMPTS):
            answer = self._fetched(address, "pages")
            try:
                return self._paged.read(answer.body, address)
            except DataError as error:
                reason = error
        raise HubError(f"{self._client.endpoint} answers with no page of models: {reason}") from reason

    def _store(self, records: list[Any], page: Listed | None = None) -> None:
        """Queue a page's rows; counts, rows and, if it is a `page` of the listing, the cursor change hands together."""
        run, crawl = self._run, self._run.crawl
        batch = Batch()
        packages = list(self._described(records, batch))
        new = [package for package in packages if package.name not in self._known]
        add_packages(batch, new, self._paged.hub, crawl.crawl_id, run.now(), None)
        batch.extend([self._again([package for package in packages if package.name in self._known])])
        self._known.update(package.name for package in new)
        self._complaints += batch.failures[:1]
        tables = batch.tables(self._paged.hub, crawl.crawl_id, run.now())
        with uninterrupted():
            crawl.rows_seen += batch.seen
            crawl.rows_stored += batch.stored
            crawl.failures += batch.failed
            crawl.cards += tables["card"].height if "card" in tables else 0
            run.queue(partial(merge_packages, tables=tables), records=batch.seen)
            if page is not None:
                run.cursor, run.listed_at = page.following, None if page.following else run.now()
        run.commit_if_due()
        self._progress(crawl.rows_seen, self._limit or self._total, "models")

    def _again(self, packages: list[Package]) -> Batch:
        """Give the rows of models that this crawl has counted already: they are brought up to date."""
        batch = Batch()
        add_packages(batch, packages, self._paged.hub, self._run.crawl.crawl_id, self._run.now(), None)
        failures = [failure for failure in batch.failures if failure.stage != "listing"]
        return Batch(frames=batch.frames, failures=failures)

    def _described(self, records: list[Any], batch: Batch) -> Iterator[Package]:
        """Give the packages of records, of new ones only as many as may still come; lost ones go to the batch."""
        room = math.inf if self._limit is None else self._limit - self._run.crawl.rows_seen
        for record in records:
            found = self._describe(record)
            if isinstance(found, Lost):
                if room > 0 and self._is_new(f"{found.subject}\n{record!r}"):
                    room -= 1
                    batch.seen += 1
                    batch.fail(found.subject, "listing", found.reason)
                continue
            for package in found:
                room -= package.name not in self._known
                if room >= 0:
                    yield package

    def _describe(self, record: Any) -> list[Package] | Lost:
        """Give the packages of a record; one that the hub's module fails at is lost, and the crawl goes on."""
        if not isinstance(record, dict):
            return Lost(repr(record)[:80], "the record is no object")
        try:
            return self._paged.describe(record)
        except Exception as error:  # noqa: BLE001 - the next run would meet the record again, and get no further
            subject = record.get("ref") or record.get("id") or record
            return Lost(str(subject)[:80], f"it could not be described: {type(error).__name__}: {str(error)[:80]}")

    def _is_new(self, lost: str) -> bool:
        """Say whether a record that is lost was not lost before, where the listing named it first."""
        key = f"lost {hash(lost)}"  # no model has a name with a blank
        is_new = key not in self._known
        self._known.add(key)
        return is_new

    def _fail(self, subject: str, stage: str, reason: str) -> None:
        self._missing += 1
        batch = Batch()
        batch.fail(subject, stage, reason)
        self._complaints += batch.failures
        self._run.crawl.unread += batch.unread
        tables = batch.tables(self._paged.hub, self._run.crawl.crawl_id, self._run.now())
        self._run.add(partial(merge_packages, tables=tables))

    def _compare_total(self) -> None:
        listed = sum(self._count().values()) + self._run.crawl.failures
        if self._total is not None and listed < self._total:
            options = ", ".join(name for name in self._paged.asked if name != "sort")
            reason = f"the hub has {self._total} models for this and lists {listed}; ask for parts of it by {options}"
            self._run.crawl.missing += self._total - listed
            self._fail(self._client.endpoint, "missing", reason)

    def _compare_claims(self, claims: list[Claim]) -> None:
        """List the models of those owners alone of whom the listing has too few, and say what is missing then."""
        known = self._count()
        for claim in [claim for claim in claims if known.get(claim.owner.casefold(), 0) < claim.models]:
            for listed in self._pages(claim.address):
                self._store(listed.records)
        self._run.flush()
        known = self._count()
        for claim in claims:
            if (listed_now := known.get(claim.owner.casefold(), 0)) < claim.models:
                reason = f"the hub says that {claim.owner} has {claim.models} models, and lists {listed_now}"
                self._run.crawl.missing += claim.models - listed_now
                self._fail(claim.owner, "missing", reason)

    def _count(self) -> dict[str, int]:
        """Count the models that the run has seen by owner, without those that are versions or variations of them."""
        return dict(self._lake.sql(SEEN, hub=self._paged.hub, crawl_id=self._run.crawl.crawl_id).iter_rows())
