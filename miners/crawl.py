"""One run of a miner: its row in the lake, and the changes on their way there."""

import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import polars as pl

from miners.batch import TIME
from schemas.errors import LakeBusy
from schemas.lake import Lake
from schemas.transaction import Transaction

COMMIT_RECORDS = 100_000  # commits are dear and should be rare, but
COMMIT_SECONDS = 5.0  # nobody likes to lose a longer while
PATIENCE = 1.0  # seconds that a commit in the middle of a crawl waits for the lake, and at the end between messages
Progress = Callable[[int, int | None, str], None]


def silent(done: int, total: int | None, what: str) -> None:
    """Show no progress."""


Change = Callable[[Transaction], None]


@dataclass
class Crawl:
    """What a run found. rows_seen = rows_stored + failures; these three count the records of the listing.

    `cards` and `tensors` count the model cards and the tensors that were stored.
    """

    crawl_id: str
    hub: str
    rows_seen: int = 0
    rows_stored: int = 0
    failures: int = 0
    cards: int = 0
    tensors: int = 0
    seconds: float = 0.0

    def as_row(self) -> dict[str, Any]:
        """Give the fields by name."""
        return asdict(self)


class Run:
    """A context manager around a crawl: its row says running at first, then finished, or failed if the block raises.

    Changes are committed in the order in which they were added. While another process holds the lake they wait here
    and the crawl goes on; at its end it waits as long as it takes, and tells `progress` who holds the lake. A run that
    is killed leaves its row at running and its cursor where the listing was committed last.
    """

    def __init__(
        self,
        lake: Lake,
        hub: str,
        query: Mapping[str, object],
        source: str,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        progress: Progress = silent,
    ) -> None:
        self.now = now
        self.started = now()
        self.crawl = Crawl(f"{self.started.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-{os.getpid()}", hub)
        self.cursor: str | None = None
        self._lake = lake
        self._query = json.dumps(query, default=str)
        self._source = source
        self._pending: list[Change] = []
        self._clock = clock
        self._progress = progress
        self._begun = self._committed_at = clock()
        self._records = 0

    @property
    def folder(self) -> Path:
        """Folder of the run's raw answers."""
        return self._lake.raw / self.crawl.hub / self.crawl.crawl_id

    def __enter__(self) -> Self:
        row = {
            "crawl_id": self.crawl.crawl_id,
            "hub": self.crawl.hub,
            "query": self._query,
            "source": self._source,
            "state": "running",
            "software": importlib.metadata.version("weightlake"),
        }
        frame = pl.DataFrame([row]).with_columns(pl.lit(self.started, dtype=TIME).alias("started_at"))
        with self._lake.write() as transaction:
            transaction.append("crawl", frame)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write_in_the_end("finished")
            self.crawl.seconds = round(self._clock() - self._begun, 3)
            return
        try:
            if isinstance(error, Exception):
                self._write_in_the_end("failed")
            else:  # somebody wants the program to end
                self._write("failed", self._lake.wait)
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            error.add_note(f"the run's end could not be noted either: {second}")

    def is_due(self, records: int = 0) -> bool:
        """Say whether it is time for a commit, with so many records that are not queued yet."""
        return records >= COMMIT_RECORDS or self._clock() - self._committed_at >= COMMIT_SECONDS

    def add(self, *changes: Change, records: int = 0) -> None:
        """Queue changes of the tables, made of so many records, and commit the queue when that is due."""
        self._pending += changes
        self._records += records
        if self.is_due(self._records):
            self._commit()

    def _commit(self) -> None:
        """Commit what is queued, or keep it for later if another process holds the lake for too long."""
        with suppress(LakeBusy):
            self._write("running", min(PATIENCE, self._lake.wait))
        self._records, self._committed_at = 0, self._clock()

    def _write_in_the_end(self, state: str) -> None:
        """Commit what is queued as soon as nobody else holds the lake; a hold of this very process would never end."""
        while True:
            try:
                return self._write(state, max(PATIENCE, self._lake.wait))
            except LakeBusy as busy:
                if isinstance(busy.__cause__, duckdb.ConnectionException):
                    raise
                self._progress(self.crawl.rows_seen, None, f"waiting: {busy}")

    def _write(self, state: str, wait: float) -> None:
        ended = None if state == "running" else self.now()
        with self._lake.write(wait) as transaction:
            for change in self._pending:
                change(transaction)
            transaction.sql(
                """
                UPDATE crawl SET state = $state, cursor = $cursor, ended_at = $ended,
                    rows_seen = $seen, rows_stored = $stored, failures = $failures WHERE crawl_id = $crawl_id
                """,
                state=state,
                cursor=self.cursor,
                ended=ended,
                seen=self.crawl.rows_seen,
                stored=self.crawl.rows_stored,
                failures=self.crawl.failures,
                crawl_id=self.crawl.crawl_id,
            )
        self._pending.clear()
