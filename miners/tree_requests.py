"""Fetches the files of a repository with their sizes and hashes from the hub's tree API."""

from collections.abc import Sequence

import polars as pl

from miners.batch import COLUMNS, Batch
from miners.fetching import Fetched, failures
from miners.fields import Fields, Json
from miners.http import HubClient
from miners.listed_files import FormatByPath
from miners.paging import fetch_list
from miners.targets import Target

MOST_PAGES = 200  # of a thousand entries each


def fetch_tree(client: HubClient, target: Target) -> Fetched[list[Json]]:
    """Fetch the entries of all folders at the target's commit."""
    address = f"/api/models/{target.name}/tree/{target.sha or 'main'}"
    return fetch_list(client, target, address, {"recursive": "true"}, MOST_PAGES)


def tree_batch(portion: Sequence[Fetched[list[Json]]]) -> Batch:
    """Give the rows of fetched trees, `file`, and failures."""
    batch = failures(portion, "file")
    for one in portion:
        entries = [entry for entry in one.found or () if entry.get("type") != "directory"]
        if entries:
            fields = Fields(entries)
            rows = _files(one.target.model_id, fields)
            if lacking := rows["path"].null_count():
                batch.fail(one.target.model_id, "file", f"{lacking} entries of the tree have no path")
            batch.add("file", rows.filter(pl.col("path").is_not_null()).unique("path", maintain_order=True))
            batch.fail_fields(one.target.model_id, fields)
    return batch


def _files(model_id: str, fields: Fields) -> pl.DataFrame:
    paths, lfs = fields.text("path"), fields.inside("lfs")
    columns = {
        "model_id": pl.Series([model_id] * len(paths), dtype=pl.String()),
        "path": paths,
        "format": pl.Series(map(FormatByPath().__getitem__, paths), dtype=pl.String()),
        "bytes": fields.whole("size").fill_null(lfs.whole("size")),
        "sha256": lfs.text("oid"),
        "blob": fields.text("oid"),
    }
    return pl.DataFrame(columns).select(list(COLUMNS["file"]))
