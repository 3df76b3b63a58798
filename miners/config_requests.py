"""Fetches config.json of a repository at the commit that the listing names."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from miners.batch import TIME, Batch
from miners.fetching import Fetched, failures
from miners.http import HubClient, NotFound
from miners.json_values import json_value
from miners.targets import CONFIG, Target
from schemas.errors import DataError

SIZE_LIMIT = 2**22  # bytes
COLUMNS = {"model_id": pl.String(), "sha": pl.String(), "config": pl.String(), "bytes": pl.Int64(), "fetched_at": TIME}


def fetch_config(client: HubClient, target: Target) -> Fetched[dict[str, Any]]:
    """Fetch one configuration; found is None where the repository has none, or one that is no JSON object."""
    if target.paths is not None and CONFIG not in target.paths:
        return Fetched(target)
    try:
        answer = client.get(target.address(CONFIG), limit=SIZE_LIMIT)
    except NotFound:
        return Fetched(target)
    try:
        return Fetched(target, [answer], json_value(answer.body, dict))
    except DataError as error:
        return Fetched(target, [answer], failures=[str(error)])


def config_batch(portion: Sequence[Fetched[dict[str, Any]]]) -> Batch:
    """Give the rows of fetched configurations, `config`, and failures."""
    batch = failures(portion, "config")
    rows = []
    for one in portion:
        if one.found is not None:
            text, answer = json.dumps(one.found, ensure_ascii=False), one.answers[0]
            rows.append((one.target.model_id, one.target.sha, text, len(answer.body), answer.fetched_at))
    batch.add("config", pl.DataFrame(rows, COLUMNS, orient="row"))
    return batch
