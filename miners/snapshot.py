"""The miner of other people's snapshots: files of hub records, each of one time, read in bulk through DuckDB."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import reduce
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import polars as pl

from miners.batch import Batch
from miners.crawl import Crawl, Progress, Run, silent
from miners.evaluations import evaluation_rows
from miners.fields import Fields
from miners.http import HubClient
from miners.licenses import spdx
from miners.records import HUB as NAMED
from miners.records import add_owned, listed_rows
from miners.snapshot_download import LARGEST, download, is_address
from miners.snapshot_files import check_ending, check_time, dated, snapshot_files, stated_time
from miners.snapshot_records import MEMORY, MOST_TIMES, TOGETHER, Part, Shaped, read_apart, shaped
from miners.snapshot_rows import LICENSES, queries
from schemas.errors import DataError, UsageError
from schemas.files import UNFINISHED
from schemas.lake import Lake
from schemas.snapshots import merge_snapshot
from schemas.transaction import Rows, Transaction

HUB = "snapshot"


class Snapshot(NamedTuple):
    """A file of records: where it lies, what failures call it, and its time as the user or its path states it."""

    file: Path
    source: str
    observed_at: datetime | None
    is_stated: bool


def mine(
    lake: Lake,
    *,
    source: str | Path,
    observed_at: str | datetime | None = None,
    download_limit: int = LARGEST,
    client: HubClient | None = None,
    progress: Progress | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Crawl:
    """Bring snapshots of the Hugging Face Hub into the lake, the oldest first.

    `source` is a file, a folder, a pattern or a URL of Parquet or JSON lines (plain, .gz, .zst) in the layout of
    hub-stats or of the weekly hub snapshots, or as the Hub's API answers. The time of each snapshot is `observed_at`
    (UTC where it says no time zone), or a column observed_at, snapshot_date or snapshot_time, or the date in its
    path. `download_limit` is the largest file in bytes that a URL may give. A snapshot is stored whole or not at all;
    the same one again adds nothing. Of several files, one that cannot be read becomes a failure of the stage `listing`
    and the others are read. Returns the counts of all snapshots together, under the name of the last run.

    Raises:
        UsageError: there is no such file, it holds no model records, or no time can be told.
        DataError: a file is damaged. HubError: the download failed; a later run goes on with it.
        LakeBusy: another process holds the lake.
    """
    show = progress or silent
    found = _found(lake, str(source), observed_at, download_limit, client, show, now)
    if len(found) == 1:
        return _mine_file(lake, found[0], show, now, clock)
    crawls, errors = [], []
    for snapshot in found:
        try:
            crawls.append(_mine_file(lake, snapshot, show, now, clock))
        except (DataError, UsageError) as error:
            errors.append(error)
            crawls.append(_note_unreadable(lake, snapshot, error, now, clock))
    if len(errors) == len(found):
        raise errors[0]
    return reduce(_added, crawls)


def _note_unreadable(
    lake: Lake, snapshot: Snapshot, error: Exception, now: Callable[[], datetime], clock: Callable[[], float]
) -> Crawl:
    """Note a file of many as a failure, in a run of its own."""
    at = now()
    with Run(lake, HUB, {}, snapshot.source, now, clock) as run:
        batch = Batch(seen=1)
        batch.fail(snapshot.source, "listing", str(error))
        with lake.write() as transaction:
            merge_snapshot(transaction, batch.tables(NAMED, run.crawl.crawl_id, at), at)
        run.crawl.rows_seen, run.crawl.failures = batch.seen, batch.failed
    return run.crawl


def _found(
    lake: Lake,
    source: str,
    observed_at: str | datetime | None,
    download_limit: int,
    client: HubClient | None,
    progress: Progress,
    now: Callable[[], datetime],
) -> list[Snapshot]:
    """Find the files, in the order of their times; a file whose time only its records tell comes last."""
    stated = None if observed_at is None else stated_time(observed_at)
    if is_address(source):
        check_ending(source.partition("?")[0])
        file = download(source, lake.raw / HUB, download_limit, client, progress)
        found = [Snapshot(file, source, stated or dated(source), stated is not None)]
    else:
        files = snapshot_files(source)
        found = [Snapshot(file, str(file), stated or dated(str(file)), stated is not None) for file in files]
    return sorted(found, key=lambda one: (one.observed_at is None, one.observed_at or now(), one.source))


def _mine_file(
    lake: Lake, snapshot: Snapshot, progress: Progress, now: Callable[[], datetime], clock: Callable[[], float]
) -> Crawl:
    if snapshot.observed_at is not None:
        check_time(snapshot.observed_at, now(), snapshot.source)
    progress(0, None, f"reading {snapshot.source}")
    beside = lake.raw / HUB / f".{now():%Y%m%dT%H%M%S%f}{UNFINISHED}"
    with shaped(snapshot.file, beside, use_times=not snapshot.is_stated) as found:
        parts = _timed(found, snapshot, now())
        query = {"layout": found.layout.name, "missing": found.layout.missing, "observed_at": [at for at, _ in parts]}
        with Run(lake, HUB, query, snapshot.source, now, clock, progress) as run:
            for observed_at, part in parts:
                with lake.write() as transaction:
                    _store(transaction, snapshot, found, part, observed_at, run.crawl)
                progress(run.crawl.rows_seen, found.rows, f"models of {observed_at:%Y-%m-%d}")
    return run.crawl


def _timed(found: Shaped, snapshot: Snapshot, now: datetime) -> list[tuple[datetime, Part]]:
    """Give the parts of the file by their times; what its path says is the time of records that say none."""
    if len(found.parts) > MOST_TIMES:
        raise UsageError(f"{snapshot.source} has more than {MOST_TIMES} times of observation; give one: --observed-at")
    timed = []
    for part in found.parts:
        at = part.observed_at or snapshot.observed_at
        if at is None:
            raise UsageError(
                f"nothing says when {snapshot.source} was observed: give --observed-at 2025-03-05, or put the date "
                "into its name or its folder's"
            )
        check_time(at, now, snapshot.source)
        timed.append((at, part))
    return sorted(timed, key=lambda one: one[0])


def _store(
    transaction: Transaction, snapshot: Snapshot, found: Shaped, part: Part, observed_at: datetime, crawl: Crawl
) -> None:
    """Store the records of one time: those that fit in bulk, the others by the page path."""
    transaction.sql("SET preserve_insertion_order = false")
    transaction.sql(f"SET memory_limit = '{MEMORY}'")
    _register_fitting(transaction, found, part)
    bulk = queries("fitting", "fitting_paths", crawl.crawl_id, observed_at.isoformat())
    portions = _unfit_rows(snapshot, found, part, observed_at, crawl.crawl_id)
    crawl.rows_seen += part.rows - len(part.unfit)
    crawl.rows_stored += part.rows - len(part.unfit)
    for place, rows in enumerate(chain([next(portions, Batch())], portions)):
        if place == 0:
            rows.extend([_published(transaction)])
        frames = rows.tables(NAMED, crawl.crawl_id, observed_at)
        merge_snapshot(transaction, _with_bulk(transaction, bulk, frames) if place == 0 else frames, observed_at)
        crawl.rows_seen += rows.seen
        crawl.rows_stored += rows.stored
        crawl.failures += rows.failed
    found.check_unchanged()


def _with_bulk(
    transaction: Transaction, bulk: Mapping[str, str], frames: Mapping[str, pl.DataFrame]
) -> Mapping[str, Rows]:
    """Put the few rows of other records behind those in bulk: a second insert in a transaction is dear."""
    for table in bulk.keys() & frames.keys():
        transaction.register(f"unfit_{table}", frames[table])
    both = {
        table: f"SELECT * FROM ({query}) UNION ALL BY NAME SELECT * FROM unfit_{table}" if table in frames else query  # noqa: S608
        for table, query in bulk.items()
    }
    return {**frames, **both}


def _published(transaction: Transaction) -> Batch:
    """Read the published results of the records that fit, which are too manifold for SQL."""
    batch = Batch()
    said = transaction.sql("SELECT model_id, results FROM fitting WHERE results IS NOT NULL")
    for portion in said.iter_slices(TOGETHER):
        listed = Fields([{"model-index": json.loads(text)} for text in portion["results"]])
        add_owned(batch, "evaluation", portion["model_id"], evaluation_rows(listed))
        for row, complaints in listed.wrong.items():
            batch.fail(portion["model_id"][row], "field", "; ".join(complaints))
    return batch


def _register_fitting(transaction: Transaction, found: Shaped, part: Part) -> None:
    transaction.register("apart", pl.DataFrame({"place": [*part.unfit, *part.stale]}, schema={"place": pl.Int64()}))
    transaction.register("fitting", _fitting(found.query, found, part))
    transaction.register("fitting_paths", _fitting(found.paths, found, part))
    stated = transaction.sql("SELECT DISTINCT license FROM fitting WHERE license IS NOT NULL")
    identifiers = pl.Series("license_spdx", [spdx([license]) for license in stated["license"]], pl.String())
    transaction.register(LICENSES, stated.with_columns(identifiers))


def _fitting(query: str, found: Shaped, part: Part) -> str:
    """Give the rows of one time without those that stand apart."""
    if part.unfit or part.stale:
        query = f"SELECT * FROM ({query}) ANTI JOIN apart USING (place)"  # noqa: S608 - our own query
    if len(found.parts) > 1:
        at = "NULL" if part.observed_at is None else f"TIMESTAMP '{part.observed_at:%Y-%m-%d %H:%M:%S.%f}'"
        query = f"SELECT * FROM ({query}) WHERE observed_at IS NOT DISTINCT FROM {at}"  # noqa: S608 - our own query
    return query


def _unfit_rows(snapshot: Snapshot, found: Shaped, part: Part, observed_at: datetime, crawl_id: str) -> Iterator[Batch]:
    """Give the rows of the records that stand apart; of one that a later one replaces, only the count."""
    stale = set(part.stale)
    listed = read_apart(found, part.unfit, snapshot.source, observed_at) if part.unfit else iter(())
    while portion := list(islice(listed, TOGETHER)):
        last = [one for place, one in portion if place not in stale]
        rows = listed_rows(last, crawl_id)
        rows.seen += len(portion) - len(last)
        rows.stored += len(portion) - len(last)
        yield rows


def _added(one: Crawl, other: Crawl) -> Crawl:
    counts = {field.name: getattr(one, field.name) + getattr(other, field.name) for field in fields(Crawl)[2:]}
    return Crawl(other.crawl_id, other.hub, **(counts | {"state": other.state}))
