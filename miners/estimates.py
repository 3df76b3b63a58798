"""How many requests a model takes, estimated by a sample of those whose files the lake knows."""

import math
from collections.abc import Iterable

import polars as pl

from miners.eval_results import MOST_FILES, holds_results
from miners.targets import CARD, CONFIG, OF_THIS_HUB, Target, targets
from miners.weight_files import indices, to_read
from schemas.lake import Lake

SAMPLE = 1000  # models
FEWEST = 50  # of which less is said about the others than by what is usual
USUAL = {"cards": 1.0, "configs": 0.59, "tensors": 3.93}  # of 1,019 records of 2025; other things take one each
KNOWN = f"""
    SELECT model_id, sha, true AS says_files FROM (
        FROM model WHERE hub = $hub AND files IS NOT NULL AND deleted_at IS NULL AND {OF_THIS_HUB}
    ) USING SAMPLE reservoir({SAMPLE} ROWS) REPEATABLE (0)
"""  # noqa: S608 - our own text


def needed(what: str, target: Target) -> int:
    """Give how many requests a model takes whose answers are all as short as they usually are."""
    if target.paths is None:
        return 1
    if what == "cards":
        return (CARD in target.paths) + min(MOST_FILES, sum(map(holds_results, target.paths)))
    if what == "configs":
        return int(CONFIG in target.paths)
    return len(indices(target.paths)) + len(to_read(target.paths, {})) if what == "tensors" else 1


def usual_requests(lake: Lake, hub: str, source: str, wants: Iterable[str]) -> dict[str, float]:
    """Give how many requests of each kind a model takes on average, as far as the lake's models tell."""
    found = list(targets(lake, lake.sql(KNOWN, hub=hub, source=source)))
    if len(found) < FEWEST:
        return {what: USUAL.get(what, 1.0) for what in wants}
    return {what: sum(needed(what, target) for target in found) / len(found) for what in wants}


def requests_for(lake: Lake, what: str, models: pl.DataFrame) -> int:
    """Give how many requests models (model_id, sha, says_files) take, by a sample of them where they are many."""
    drawn = models.sample(SAMPLE, seed=0) if models.height > SAMPLE else models
    counted = sum(needed(what, target) for target in targets(lake, drawn))
    return math.ceil(counted * models.height / max(1, drawn.height))
