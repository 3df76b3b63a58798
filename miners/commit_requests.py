"""Fetches the commits of a repository, newest first, from the hub's API."""

from collections.abc import Sequence

import polars as pl

from miners.batch import TIME, Batch
from miners.fetching import Fetched, failures
from miners.fields import Fields, Json
from miners.http import HubClient
from miners.paging import fetch_list
from miners.targets import Target

MOST_PAGES = 100  # of fifty commits each; some repositories are written to by a training run
SHA = r"\A[0-9a-f]{40}\z"


def fetch_commits(client: HubClient, target: Target) -> Fetched[list[Json]]:
    """Fetch the commits that lead to the target's."""
    return fetch_list(client, target, f"/api/models/{target.name}/commits/{target.sha or 'main'}", {}, MOST_PAGES)


def commit_batch(portion: Sequence[Fetched[list[Json]]]) -> Batch:
    """Give the rows of fetched commits, `revision`, and failures."""
    batch = failures(portion, "commits")
    for one in portion:
        if one.found:
            fields = Fields(one.found)
            rows = _revisions(one.target.model_id, fields)
            batch.add("revision", rows.filter(pl.col("sha").str.contains(SHA)).unique("sha", maintain_order=True))
            bad = rows.height - rows["sha"].str.contains(SHA).sum()
            batch.fail_fields(one.target.model_id, fields)
            if bad:
                batch.fail(one.target.model_id, "commits", f"{bad} commits have no id of 40 hexadecimal digits")
    return batch


def _revisions(model_id: str, fields: Fields) -> pl.DataFrame:
    authors = fields.objects("authors")
    joined = ["" for _ in fields.records]
    for owner, user in zip(authors.rows, authors.text("user"), strict=True):
        if user is not None:
            joined[owner] += f", {user}" if joined[owner] else user
    return pl.DataFrame(
        {
            "model_id": pl.Series([model_id] * len(fields.records), dtype=pl.String()),
            "sha": fields.text("id"),
            "committed_at": fields.moment("date").cast(TIME),
            "source": pl.Series(["commits"] * len(fields.records), dtype=pl.String()),
            "title": fields.text("title"),
            "authors": pl.Series([names or None for names in joined], dtype=pl.String()),
        }
    )
