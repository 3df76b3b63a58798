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

import polars as pl
from filelock import FileLock, Timeout

from miners.batch import TIME
from miners.committing import CORES, PATIENCE, Change, Commit, Committer
from miners.interrupts import uninterrupted
from miners.pacing import Enough
from schemas.errors import OutsideError, WeightlakeError
from schemas.files import UNFINISHED
from schemas.lake import Lake
from schemas.transaction import Transaction

COMMIT_RECORDS = 50_000 if CORES > 1 else 100_000  # of fewer at once each record costs more to commit
COMMIT_SECONDS = 5.0  # nobody likes to lose a longer while, and no hub gives as many records meanwhile
Progress = Callable[[int, int | None, str], None]


def silent(done: int, total: int | None, what: str) -> None:
    """Show no progress."""


@dataclass
class Crawl:
    """What a run found. rows_seen = rows_stored + failures; these three count the records of the listing.

    They count what all processes of the crawl have found; the others count what this process has: `cards`, `configs`,
    `tensors`, `commits` and `discussions` the rows of that kind that were stored, `files` those that the option `files`
    brought (files that a listing names are not counted), and `requests` what was asked of the hub. `unread` counts
    files of a source that could not be read or were refused, `missing` models that a hub says it has and does not list.
    `state` is finished, or stopped where a limit of requests or hours ended the run.
    """

    crawl_id: str
    hub: str
    rows_seen: int = 0
    rows_stored: int = 0
    failures: int = 0
    cards: int = 0
    configs: int = 0
    tensors: int = 0
    commits: int = 0
    discussions: int = 0
    files: int = 0
    requests: int = 0
    unread: int = 0
    missing: int = 0
    seconds: float = 0.0
    state: str = "finished"

    def as_row(self) -> dict[str, Any]:
        """Give the fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Unfinished:
    """A crawl of the lake that has not come to its end, and where it goes on."""

    crawl_id: str
    started_at: datetime
    query: Mapping[str, object]
    cursor: str | None
    listed_at: datetime | None
    watermark: datetime | None
    rows_seen: int
    rows_stored: int
    failures: int


class Run:
    """A context manager around a crawl: its row says running at first, then finished, stopped, or failed.

    Stopped means that the block raised `Enough`, which goes no further; failed that it raised something else.
    Changes are committed in the order in which they were added, by a thread of its own. While another process holds
    the lake they wait and the crawl goes on, but not so far that memory fills; at its end it waits as long as it
    takes, and tells `progress` who holds the lake. Whatever ends a run, even SIGKILL, its row and the tables agree:
    `cursor` is where the listing was committed last, and a run that is given the row as `unfinished` goes on there.
    What a run sees is seen after it `started`, which is before the first answer, if that came before the run.
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
        watermark: datetime | None = None,
        unfinished: Unfinished | None = None,
        started: datetime | None = None,
    ) -> None:
        self.now = now
        self.started = started or now()
        self.cursor: str | None = None
        self.listed_at: datetime | None = None
        self.crawl = Crawl(f"{self.started.astimezone(UTC):%Y%m%dT%H%M%S%fZ}-{os.getpid()}", hub)
        self._unfinished = unfinished
        if unfinished is not None:
            self._take_over(unfinished)
        self._lake = lake
        self._query = json.dumps(query, default=str)
        self._source = source
        self._watermark = watermark
        self._pending: list[Change] = []
        self._clock = clock
        self._progress = progress
        self._begun = self._committed_at = clock()
        self._records = 0

    def _take_over(self, unfinished: Unfinished) -> None:
        self.started = unfinished.started_at
        self.cursor, self.listed_at = unfinished.cursor, unfinished.listed_at
        counts = (unfinished.rows_seen, unfinished.rows_stored, unfinished.failures)
        self.crawl = Crawl(unfinished.crawl_id, self.crawl.hub, *counts)

    @property
    def folder(self) -> Path:
        """Folder of the run's raw answers."""
        return self._lake.raw / self.crawl.hub / self.crawl.crawl_id

    def __enter__(self) -> Self:
        self._lock = self._claimed()
        try:
            with self._lake.write() as transaction:
                if self._unfinished is None:
                    transaction.append("crawl", self._row())
                else:
                    self._check_unmoved(transaction, self._unfinished)
                    self._as_commit("running").make(transaction, self.crawl.crawl_id)
        except BaseException:
            self._lock.release()
            raise
        for left in self.folder.glob(f".*{UNFINISHED}"):  # by a process of this crawl that was killed while it wrote
            left.unlink()
        self._committer = Committer(self._lake, self.crawl.crawl_id, self._tell)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        is_enough = isinstance(error, Enough)
        try:
            self.crawl.state = "finished" if error is None else "stopped" if is_enough else "failed"
            self._end(error, self._lake.wait if error is not None and not isinstance(error, Exception) else None)
        finally:
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self.crawl.seconds = round(self._clock() - self._begun, 3)
        return is_enough

    def is_due(self, records: int = 0) -> bool:
        """Say whether it is time for a commit, with so many records that are not queued yet."""
        return records >= COMMIT_RECORDS or self._clock() - self._committed_at >= COMMIT_SECONDS

    def add(self, *changes: Change, records: int = 0) -> None:
        """Queue changes of the tables, made of so many records, and hand the queue over when that is due.

        Raises what made an earlier commit fail.
        """
        self.queue(*changes, records=records)
        self.commit_if_due()

    def queue(self, *changes: Change, records: int = 0) -> None:
        """Queue changes and do nothing else; somebody has to ask for `commit_if_due` then."""
        self._pending += changes
        self._records += records

    def commit_if_due(self) -> None:
        """Hand the queue over if that is due."""
        if self.is_due(self._records):
            self.commit()

    def commit(self) -> None:
        """Hand over what is queued, to be committed as soon as those before it are."""
        self._committer.wait_for_room()
        with uninterrupted():
            self._committer.put(self._as_commit("running"))
            self._pending, self._records, self._committed_at = [], 0, self._clock()

    def flush(self) -> None:
        """Wait until everything so far is in the lake, so that it can be asked there."""
        self.commit()
        self._committer.flush()

    def _end(self, error: BaseException | None, patience: float | None) -> None:
        """Commit what is queued and the state; of two errors the first is the one to report."""
        try:
            self._committer.put(self._as_commit(self.crawl.state))
            self._committer.close(patience)
        except Exception as second:
            self._note_failure()
            if error is None or isinstance(error, Enough):
                raise
            if second is not error:
                error.add_note(f"the run's end could not be noted either: {second}")

    def _note_failure(self) -> None:
        """Say that the run has failed, and leave its cursor where the last commit was."""
        self.crawl.state = "failed"
        with suppress(WeightlakeError), self._lake.write(PATIENCE) as transaction:
            transaction.sql(
                "UPDATE crawl SET state = 'failed', ended_at = $now WHERE crawl_id = $crawl_id",
                now=self.now(),
                crawl_id=self.crawl.crawl_id,
            )

    def _as_commit(self, state: str) -> Commit:
        return Commit(
            changes=tuple(self._pending),
            records=self._records,
            state=state,
            cursor=self.cursor,
            listed_at=self.listed_at,
            ended_at=None if state == "running" else self.now(),
            seen=self.crawl.rows_seen,
            stored=self.crawl.rows_stored,
            failures=self.crawl.failures,
        )

    def _row(self) -> pl.DataFrame:
        row = {
            "crawl_id": self.crawl.crawl_id,
            "hub": self.crawl.hub,
            "query": self._query,
            "source": self._source,
            "state": "running",
            "software": importlib.metadata.version("weightlake"),
        }
        times = {"started_at": self.started, "watermark": self._watermark}
        return pl.DataFrame([row]).with_columns(pl.lit(time, dtype=TIME).alias(name) for name, time in times.items())

    def _check_unmoved(self, transaction: Transaction, unfinished: Unfinished) -> None:
        query = "SELECT state, cursor, rows_seen FROM crawl WHERE crawl_id = $crawl_id"
        state, cursor, seen = transaction.sql(query, crawl_id=unfinished.crawl_id).row(0)
        if state == "finished" or (cursor, seen or 0) != (unfinished.cursor, unfinished.rows_seen):
            raise OutsideError(f"another process has just gone on with the crawl {unfinished.crawl_id}; try again")

    def _claimed(self) -> FileLock:
        """Give the lock that keeps two processes from going on with one crawl; it ends with its process."""
        place = self.folder.with_name(f"lock-{self.crawl.crawl_id}")
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place, blocking=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise OutsideError(
                f"another process is at the crawl {self.crawl.crawl_id} of the same models; wait for it, or begin "
                "another one with --restart"
            ) from error
        return lock

    def _tell(self, what: str) -> None:
        self._progress(self.crawl.rows_seen, None, what)
