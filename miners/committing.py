"""Commits what a run has found in a thread of its own, in order, while the run goes on."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import duckdb

from miners.pacing import MOMENT
from schemas.errors import LakeBusy
from schemas.lake import Lake
from schemas.transaction import Transaction

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = max(1, CORES - 1)  # one core is for whoever reads what comes next
PATIENCE = 1.0  # seconds that a commit waits for the lake before it says so and tries again
MOST_WAITING = 8  # commits that wait for their turn; a run that is further ahead waits for them
MOST_RECORDS = 100_000  # records that wait for their turn, so that memory is bounded

Change = Callable[[Transaction], None]


@dataclass(frozen=True)
class Commit:
    """Changes of the tables, and where the run stands once they are made; kept together or not at all."""

    changes: tuple[Change, ...]
    records: int
    state: str
    cursor: str | None
    listed_at: datetime | None
    ended_at: datetime | None
    seen: int
    stored: int
    failures: int

    def make(self, transaction: Transaction, crawl_id: str) -> None:
        """Make the changes and note where the run stands."""
        for change in self.changes:
            change(transaction)
        transaction.sql(
            """
            UPDATE crawl SET state = $state, cursor = $cursor, listed_at = $listed_at, ended_at = $ended_at,
                rows_seen = $seen, rows_stored = $stored, failures = $failures WHERE crawl_id = $crawl_id
            """,
            state=self.state,
            cursor=self.cursor,
            listed_at=self.listed_at,
            ended_at=self.ended_at,
            seen=self.seen,
            stored=self.stored,
            failures=self.failures,
            crawl_id=crawl_id,
        )


class Committer:
    """A thread that commits in the order of `put`, one transaction after the other.

    While another process holds the lake it waits and tells `tell` who that is. Once a commit has failed none is made
    any more, because the next one's cursor would claim its rows; the error is raised by every `put` and `close` then.
    """

    def __init__(self, lake: Lake, crawl_id: str, tell: Callable[[str], None]) -> None:
        self._lake = lake
        self._crawl_id = crawl_id
        self._tell = tell
        self._waiting: deque[Commit] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._is_at_work = False
        self._is_closing = False
        self._is_awaited = False
        self._give_up_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)
        self._thread.start()

    def wait_for_room(self) -> None:
        """Wait while too many commits are queued. Raises what made an earlier one fail."""
        with self._changed:
            self._wait_until(self._has_room)

    def put(self, commit: Commit) -> None:
        """Queue a commit, without waiting. Raises what made an earlier one fail."""
        with self._changed:
            self._raise()
            self._waiting.append(commit)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is committed; raises what made a commit fail, LakeBusy if this very process holds the lake."""
        with self._changed:
            self._is_awaited = True
            self._wait_until(lambda: not (self._waiting or self._is_at_work))
            self._is_awaited = False

    def close(self, patience: float | None = None) -> None:
        """Wait until all is committed, for at most about `patience` seconds if another process holds the lake.

        Raises what made a commit fail; LakeBusy if the lake is held for too long, or by this very process, for ever.
        """
        with self._changed:
            self._is_closing = self._is_awaited = True
            self._give_up_at = None if patience is None else time.monotonic() + patience
            self._changed.notify_all()
        while self._thread.is_alive():
            self._thread.join(MOMENT)
        self._raise()

    def _wait_until(self, happens: Callable[[], bool]) -> None:
        """Wait a moment at a time: polars lets Ctrl-C through only where Python comes to look."""
        while not (self._error or happens()):
            self._changed.wait(MOMENT)
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _has_room(self) -> bool:
        records = sum(commit.records for commit in self._waiting)
        return len(self._waiting) < MOST_WAITING and records < MOST_RECORDS

    def _work(self) -> None:
        try:
            while (commit := self._next()) is not None:
                self._keep(commit)
        except BaseException as error:  # noqa: BLE001 - it is raised where the run can see it
            with self._changed:
                self._error = error
                self._waiting.clear()
                self._changed.notify_all()

    def _next(self) -> Commit | None:
        with self._changed:
            self._is_at_work = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            if not self._waiting:
                return None
            self._is_at_work = True
            commit = self._waiting.popleft()
            self._changed.notify_all()
            return commit

    def _keep(self, commit: Commit) -> None:
        while True:
            try:
                with self._lake.write(PATIENCE) as transaction:
                    transaction.sql(f"SET threads = {THREADS}")
                    commit.make(transaction, self._crawl_id)
                return
            except LakeBusy as busy:
                if self._is_hopeless(busy):
                    raise
                self._tell(f"waiting: {busy}")

    def _is_hopeless(self, busy: LakeBusy) -> bool:
        """Whether nobody will let go of the lake in time; a hold of this very process would never end."""
        if not self._is_awaited:
            return False
        is_out_of_time = self._give_up_at is not None and time.monotonic() >= self._give_up_at
        return is_out_of_time or isinstance(busy.__cause__, duckdb.ConnectionException)
