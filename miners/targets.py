"""Which repositories a hub is asked about beside its listing, and which of their files, as the lake tells it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

import polars as pl

from miners.eval_results import holds_results
from miners.weight_files import matters
from schemas.lake import Lake

CARD = "README.md"
CONFIG = "config.json"
TOGETHER = 2000  # repositories whose files are looked up at once
FAILED_FOR = timedelta(days=30)  # after which what the hub refused, or nobody could read, is asked for again
WANTED = """
    SELECT model.model_id, model.sha, model.files IS NOT NULL AS says_files
    FROM model LEFT JOIN (FROM fetched WHERE what = $what) AS known USING (model_id)
    WHERE model.hub = $hub AND model.deleted_at IS NULL AND (
        known.model_id IS NULL OR known.sha IS DISTINCT FROM model.sha
        OR (known.outcome = 'failed' AND known.fetched_at < $failed_before)
    ) AND {scope}
    ORDER BY model.downloads DESC NULLS LAST, model.model_id
"""
OF_THIS_RUN = "model.crawl_id = $crawl_id"
OF_THIS_HUB = """
    coalesce(model.crawl_id, '') NOT IN (SELECT crawl.crawl_id FROM crawl WHERE hub = $hub AND source <> $source)
"""
PATHS = """
    SELECT model_id, path FROM file WHERE model_id IN (SELECT unnest($names))
        AND (format IS NOT NULL OR path = 'README.md' OR regexp_matches(path, '\\.(json|npy|npz|yaml)$'))
"""


class Target(NamedTuple):
    """A repository at a commit; `paths` are those of its files that matter here, None where the hub lists none."""

    model_id: str
    sha: str | None
    paths: frozenset[str] | None

    @property
    def name(self) -> str:
        """The repository's `owner/name`."""
        return self.model_id.partition(":")[2]

    def address(self, path: str) -> str:
        """Path on the hub of one of the repository's files."""
        return f"/{self.name}/resolve/{self.sha or 'main'}/{quote(path)}"


def wanted(lake: Lake, what: str, hub: str, source: str, crawl_id: str | None, now: datetime) -> pl.DataFrame:
    """Give the models (model_id, sha, says_files) that lack something, or have a new commit, most downloaded first.

    They are those of the hub but for what was seen at another endpoint, so that those from snapshots are among them;
    or, with a `crawl_id`, those that this run has seen.
    """
    whose: dict[str, object] = {"source": source} if crawl_id is None else {"crawl_id": crawl_id}
    query = WANTED.format(scope=OF_THIS_HUB if crawl_id is None else OF_THIS_RUN)
    return lake.sql(query, what=what, hub=hub, failed_before=now - FAILED_FOR, **whose)


def targets(lake: Lake, models: pl.DataFrame) -> Iterator[Target]:
    """Give a target for each of the models, with the paths of those files that anything here reads."""
    for portion in models.iter_slices(TOGETHER):
        paths: dict[str, set[str]] = {}
        for model_id, path in lake.sql(PATHS, names=portion["model_id"].to_list()).iter_rows():
            if path in (CARD, CONFIG) or matters(path) or holds_results(path):
                paths.setdefault(model_id, set()).add(path)
        for model_id, sha, says in portion.iter_rows():
            yield Target(model_id, sha, frozenset(paths.get(model_id, ())) if says else None)
