"""The engine of hubs whose whole catalogue is a few files: it gets them, and stores what a hub makes of them.

A hub is a `Catalogue`: its name, which files matter, how they are fetched, and a pure function from files to packages.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from miners.batch import Batch
from miners.checked_out import read_weights
from miners.crawl import Crawl, Progress, Run, silent
from miners.folders import readable
from miners.http import HubClient
from miners.nothing import check_stored
from miners.package import Lost, Package
from miners.package_rows import add_packages
from miners.source import Contents, Wanted, contents
from schemas.described import merge_packages, replace_throughput
from schemas.lake import Lake
from schemas.mined import mark_deleted, merge_tensors

Files = Mapping[str, bytes]


@dataclass
class Described:
    """What a catalogue's files say: packages, records that cannot be stored, and files that cannot be read.

    `throughput` holds rows of that table, each a record of its own; None where the hub measures none. `unmeasured`
    are records that should be such rows and cannot. `unplaced` are published results that belong to no model here.
    """

    packages: list[Package] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    unread: list[Lost] = field(default_factory=list)
    throughput: pl.DataFrame | None = None
    unmeasured: list[Lost] = field(default_factory=list)
    unplaced: list[Lost] = field(default_factory=list)


class Catalogue(NamedTuple):
    """A hub: `site` and `fetch` are how its files are got from there, `wanted(path, size)` which files matter.

    `fetch(client, folder)` keeps the answers in `folder` as they came, and gives the files.
    """

    hub: str
    site: str
    wanted: Wanted
    fetch: Callable[[HubClient, Path], Contents]
    describe: Callable[[Files], Described]
    client: Callable[[str], HubClient]


def miner(catalogue: Catalogue) -> Callable[..., Crawl]:
    """Make the function that mines a catalogue into a lake."""

    def mine(
        lake: Lake,
        *,
        source: str | Path | None = None,
        endpoint: str | None = None,
        client: HubClient | None = None,
        progress: Progress | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> Crawl:
        """Bring a hub's whole catalogue into the lake: from its site, or from `source`, a checkout or a tar archive.

        Raises HubError if the site does not give it, UsageError if the source is none of this hub's, DataError if an
        archive is damaged, would unpack to more than is sensible or gives no model, and LakeBusy. Where a checkout has
        the weights too, their headers are read.
        """
        asker = client or catalogue.client(endpoint or catalogue.site)
        try:
            origin = readable(str(Path(source).resolve())) if source is not None else asker.endpoint
            with Run(lake, catalogue.hub, {"source": source}, origin, now, clock, progress or silent) as run:
                try:
                    found = contents(Path(source), catalogue.wanted) if source else catalogue.fetch(asker, run.folder)
                finally:
                    run.crawl.requests = asker.requests
                _store(run, catalogue, found, origin)
        finally:
            if client is None:
                asker.close()
        return run.crawl

    return mine


def _store(run: Run, catalogue: Catalogue, found: Contents, origin: str) -> None:
    described = catalogue.describe(found.files)
    batch, at, crawl = Batch(), run.now(), run.crawl
    add_packages(batch, described.packages, catalogue.hub, crawl.crawl_id, at, found.commit)
    _add_rest(batch, described, found)
    if described.throughput is not None:
        run.add(partial(replace_throughput, hub=catalogue.hub, frame=described.throughput))
    tables = batch.tables(catalogue.hub, crawl.crawl_id, at)
    crawl.rows_seen, crawl.rows_stored, crawl.failures = batch.seen, batch.stored, batch.failed
    crawl.unread = batch.unread
    crawl.cards = tables["card"].height if "card" in tables else 0
    incomplete = [f"{catalogue.hub}:{name}" for name in found.incomplete]
    run.add(partial(merge_packages, tables=tables, incomplete=incomplete), records=batch.seen)
    check_stored(crawl, origin, batch.failures)
    if found.folder is not None and "model" in tables:
        _add_weights(run, catalogue.hub, described.packages, set(tables["model"]["model_id"]), found.folder)
    if not described.lost and not described.unread and not found.refused:  # nothing that may hide a model
        run.add(partial(mark_deleted, hub=catalogue.hub, source=origin, crawl_id=crawl.crawl_id))


def _add_rest(batch: Batch, described: Described, found: Contents) -> None:
    """Add what is no package: records that are lost, files that cannot be read, results that are nobody's, speed."""
    for lost in [*described.lost, *described.unmeasured]:
        batch.seen += 1
        batch.fail(lost.subject, "listing", lost.reason)
    for lost in [*described.unread, *(Lost(path, reason) for path, reason in found.refused.items())]:
        batch.fail(lost.subject, "file", lost.reason)
    for lost in described.unplaced:
        batch.fail(lost.subject, "result", lost.reason)
    if described.throughput is not None:
        batch.seen += described.throughput.height
        batch.stored += described.throughput.height


def _add_weights(run: Run, hub: str, packages: Sequence[Package], stored: Set[str], folder: Path) -> None:
    """Read the headers of the weights that lie in a checkout."""
    named = {f"{hub}:{package.name}": package for package in packages if f"{hub}:{package.name}" in stored}
    batch, read = read_weights(named, folder)
    if read:
        tables = batch.tables(hub, run.crawl.crawl_id, run.now())
        run.crawl.tensors = tables["tensor"].height if "tensor" in tables else 0
        run.add(partial(merge_tensors, asked=read, tables=tables))
