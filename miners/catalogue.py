"""The engine of hubs whose whole catalogue is a few files: it gets them, and stores what a hub makes of them.

A hub is a `Catalogue`: its name, which files matter, how they are fetched, and a pure function from files to packages.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from miners.batch import Batch
from miners.crawl import Crawl, Progress, Run, silent
from miners.folders import readable
from miners.http import HubClient
from miners.package import Lost, Package
from miners.package_rows import add_packages
from miners.source import Contents, Wanted, contents
from schemas.described import merge_packages, replace_throughput
from schemas.lake import Lake
from schemas.mined import mark_deleted

Files = Mapping[str, bytes]


@dataclass
class Described:
    """What a catalogue's files say: packages, records that cannot be stored, and files that cannot be read.

    `throughput` holds rows of that table, each a record of its own; None where the hub measures none. `unmeasured`
    are records that should be such rows and cannot.
    """

    packages: list[Package] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    unread: list[Lost] = field(default_factory=list)
    throughput: pl.DataFrame | None = None
    unmeasured: list[Lost] = field(default_factory=list)


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
        archive is damaged or would unpack to more than is sensible, and LakeBusy.
        """
        asker = client or catalogue.client(endpoint or catalogue.site)
        try:
            origin = readable(str(Path(source).resolve())) if source is not None else asker.endpoint
            with Run(lake, catalogue.hub, {"source": source}, origin, now, clock, progress or silent) as run:
                found = contents(Path(source), catalogue.wanted) if source else catalogue.fetch(asker, run.folder)
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
    for lost in [*described.lost, *described.unmeasured]:
        batch.seen += 1
        batch.fail(lost.subject, "listing", lost.reason)
    for lost in [*described.unread, *(Lost(path, reason) for path, reason in found.refused.items())]:
        batch.fail(lost.subject, "file", lost.reason)
    if described.throughput is not None:
        batch.seen += described.throughput.height
        batch.stored += described.throughput.height
        run.add(partial(replace_throughput, hub=catalogue.hub, frame=described.throughput))
    tables = batch.tables(catalogue.hub, crawl.crawl_id, at)
    crawl.rows_seen, crawl.rows_stored, crawl.failures = batch.seen, batch.stored, batch.failed
    crawl.cards = tables["card"].height if "card" in tables else 0
    incomplete = [f"{catalogue.hub}:{name}" for name in found.incomplete]
    run.add(partial(merge_packages, tables=tables, incomplete=incomplete), records=batch.seen)
    if not described.lost and not described.unread and not found.refused:  # nothing that may hide a model
        run.add(partial(mark_deleted, hub=catalogue.hub, source=origin, crawl_id=crawl.crawl_id))
