"""Fetches the discussions and pull requests of a model, newest first, from the hub's API."""

from collections.abc import Sequence

import polars as pl

from miners.batch import TIME, Batch
from miners.fetching import Fetched, failures
from miners.fields import Fields, Json
from miners.http import HubClient
from miners.json_values import fetch_json
from miners.targets import Target
from schemas.errors import DataError

MOST_PAGES = 200


def fetch_discussions(client: HubClient, target: Target) -> Fetched[list[Json]]:
    """Fetch what the discussion pages list; what was said in the discussions is not asked for."""
    fetched: Fetched[list[Json]] = Fetched(target)
    found: list[Json] = []
    for page in range(MOST_PAGES):
        try:
            answer, listed = fetch_json(client, f"/api/models/{target.name}/discussions", dict, {"p": page})
            entries = _entries(listed)
        except DataError as error:
            fetched.failures.append(str(error))
            return fetched
        fetched.answers.append(answer)
        count = listed.get("count")
        found += entries
        if not entries or not isinstance(count, int) or len(found) >= count:
            break
    else:
        fetched.failures.append(f"there is more; the first {len(found)} discussions were read")
    fetched.found = found
    return fetched


def _entries(listed: Json) -> list[Json]:
    entries = listed.get("discussions")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"the answer has {str(entries)[:80]!r}, expected a list of discussions")
    return entries


def discussion_batch(portion: Sequence[Fetched[list[Json]]]) -> Batch:
    """Give the rows of fetched discussions, `discussion`, and failures."""
    batch = failures(portion, "discussions")
    for one in portion:
        if one.found:
            fields = Fields(one.found)
            rows = _discussions(one.target.model_id, fields)
            if lacking := rows["number"].null_count():
                batch.fail(one.target.model_id, "discussions", f"{lacking} discussions have no number")
            batch.add("discussion", rows.filter(pl.col("number").is_not_null()).unique("number", maintain_order=True))
            batch.fail_fields(one.target.model_id, fields)
    return batch


def _discussions(model_id: str, fields: Fields) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "model_id": pl.Series([model_id] * len(fields.records), dtype=pl.String()),
            "number": fields.whole("num"),
            "title": fields.text("title"),
            "author": fields.inside("author").text("name"),
            "status": fields.text("status"),
            "is_pull_request": fields.flag("isPullRequest"),
            "created_at": fields.moment("createdAt").cast(TIME),
        }
    )
