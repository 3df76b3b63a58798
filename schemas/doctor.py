"""Examines a lake: rows that should be unique, rows without their model, shards that are missing or damaged."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from schemas.errors import DataError, UsageError
from schemas.files import unfinished
from schemas.lake import Lake

UNIQUE = {
    "model": "model_id",
    "trial": "search_id, number",
    "card": "model_id",
    "member": "model_id",
    "product": "model_id",
    "population": "population_id",
    "crawl": "crawl_id",
    "documentation": "model_id",
    "footprint": "model_id, source",
    "config": "model_id",
    "fetched": "model_id, what",
    "discussion": "model_id, number",
    "checkpoint": "model_id, epoch",
    "file": "model_id, path",
    "tensor": "model_id, path, name",
    "weights": "model_id, format",
    "weights_dtype": "model_id, format, dtype",
    "training": "model_id, epoch, split, metric",
    "tag": "model_id, tag, kind",
    "link": "model_id, kind, target",
    "lineage": "child_id, parent_id, relation",
    "statement": "model_id, name, value, source",
    "identity": "model_id, kind, key",
    "same_model": "model_id",
    "sitting": "population_id, group_name, number",
}
OF_A_MODEL = (
    *("observation", "tag", "link", "revision", "file", "tensor", "card", "card_section", "evaluation", "event"),
    *("member", "training", "checkpoint", "measurement", "product", "lineage"),
    *("fetched", "config", "discussion", "card_topic", "documentation", "footprint"),
    *("weights", "weights_dtype", "weights_metadata"),
    *("statement", "identity", "same_model"),
)
WITH_FILES = "SELECT location FROM model WHERE location IS NOT NULL AND hub = 'made'"
FINDINGS = {"check": pl.String, "problem": pl.String, "example": pl.String}


def examine(lake: Lake, weights: bool = True) -> pl.DataFrame:
    """Look for everything that the tables cannot rule out by themselves.

    Args:
        lake: The lake; it is only read.
        weights: Read every shard whole and compare its SHA-256; without it only its header and its length are checked.

    Returns:
        A row per problem: which check found it, what it is, and an example. Empty where the lake is sound.
    """
    found = [*_duplicates(lake), *_orphans(lake), *_miscounted(lake), *_shards(lake, weights)]
    return pl.DataFrame(found, schema=FINDINGS, orient="row")


def _duplicates(lake: Lake) -> Iterator[tuple[str, str, str]]:
    for table, key in UNIQUE.items():
        rows = lake.sql(f"SELECT {key}, count(*) AS times FROM {table} GROUP BY ALL HAVING times > 1 ORDER BY ALL")  # noqa: S608 - our names
        if not rows.is_empty():
            yield "unique", f"{rows.height} values of {table}({key}) stand there more than once", _example(rows)


def _orphans(lake: Lake) -> Iterator[tuple[str, str, str]]:
    for table in OF_A_MODEL:
        key = "child_id AS model_id" if table == "lineage" else "model_id"
        query = (
            f"SELECT DISTINCT model_id FROM (SELECT {key} FROM {table}) ANTI JOIN model USING (model_id) ORDER BY ALL"  # noqa: S608 - our names
        )
        rows = lake.sql(query)
        if not rows.is_empty():
            yield "orphans", f"{rows.height} models of {table} have no row in model", _example(rows)


def _miscounted(lake: Lake) -> Iterator[tuple[str, str, str]]:
    query = "SELECT crawl_id FROM crawl WHERE state = 'finished' AND rows_seen <> rows_stored + failures"
    rows = lake.sql(query)
    if not rows.is_empty():
        yield "counts", f"{rows.height} crawls saw more rows than they stored and failed on", _example(rows)


def _shards(lake: Lake, whole: bool) -> Iterator[tuple[str, str, str]]:
    known = lake.sql("SELECT DISTINCT shard, shard_sha256 FROM checkpoint ORDER BY shard").rows()
    for shard, digest in known:
        try:
            if whole:
                lake.weights.verify(shard, digest)
            else:
                lake.weights.names(shard)
        except (DataError, UsageError) as error:
            yield "weights", f"{error}; delete it, then build or make again what it held", shard
    folder = lake.weights.folder
    half = [*unfinished(folder), *unfinished(lake.raw)]
    shards = (path for path in folder.rglob("*.safetensors") if not set(half) & set(path.parents))
    lying = {path.relative_to(folder).as_posix() for path in shards}
    for left in half:
        yield "files", "left by a writer that was killed or is still at it; if nothing runs, delete it", str(left)
    homes = {Path(home).resolve() for home in lake.sql(WITH_FILES)["location"]}  # of merges: repositories of their own
    unnamed = lying - {shard for shard, _ in known}
    for shard in sorted(shard for shard in unnamed if not homes & set((folder / shard).resolve().parents)):
        yield "weights", "a shard that no checkpoint names; the build that wrote it may not have been finished", shard


def _example(rows: pl.DataFrame) -> str:
    return ", ".join(str(value) for value in rows.row(0))
