"""Mends a lake where that loses nothing: rows that stand twice, rows without their model, files left half written."""

from collections.abc import Iterator

import polars as pl

from schemas.doctor import OF_A_MODEL, UNIQUE
from schemas.errors import UsageError
from schemas.files import tidy
from schemas.lake import Lake
from schemas.transaction import Transaction

KEPT = ("member", "training", "checkpoint", "measurement", "product", "lineage")
"""What a training or a merge came to; the same command again brings their models back, so the rows stay."""
REPAIRED = {"repair": pl.String, "what": pl.String, "count": pl.Int64}


def repair(lake: Lake) -> pl.DataFrame:
    """Mend what can be mended without losing anything: all rows in one transaction, then the files.

    Rows that are equal in every column of a table become one; rows of mined tables whose model is not in the lake go;
    files and folders that a killed writer has left go, once nobody has touched them for an hour. What `examine` still
    finds afterwards needs somebody to decide.

    Returns:
        A row per repair: what was done, to which table or file, and to how many rows.

    Raises:
        UsageError: the lake was opened with read_only=True.
        LakeBusy: another process held the lake for longer than its waiting time.
        OutsideError: the disk is full.
    """
    if lake.read_only:
        raise UsageError(f"{lake.path} was opened with read_only=True; a repair needs to write")
    with lake.write() as transaction:
        done = [*_made_unique(transaction), *_without_orphans(transaction)]
    return pl.DataFrame([*done, *_tidied(lake)], schema=REPAIRED, orient="row")


def _made_unique(transaction: Transaction) -> Iterator[tuple[str, str, int]]:
    for table, key in UNIQUE.items():
        twice = f"SELECT {key} FROM {table} GROUP BY ALL HAVING count(*) > 1"  # noqa: S608 - our names
        same = " AND ".join(f"one.{name} IS NOT DISTINCT FROM other.{name}" for name in key.split(", "))
        chosen = f"FROM {table} AS one WHERE EXISTS (FROM ({twice}) AS other WHERE {same})"
        transaction.sql(f"CREATE OR REPLACE TEMP TABLE doubled AS SELECT * {chosen}")
        rows, different = transaction.sql(
            "SELECT count(*) AS n, (SELECT count(*) FROM (SELECT DISTINCT * FROM doubled)) AS m FROM doubled"
        ).row(0)
        if rows > different:
            transaction.sql(f"DELETE {chosen}")
            transaction.sql(f"INSERT INTO {table} SELECT DISTINCT * FROM doubled")  # noqa: S608 - our names
            yield "equal rows made one", table, rows - different
    transaction.sql("DROP TABLE doubled")


def _without_orphans(transaction: Transaction) -> Iterator[tuple[str, str, int]]:
    for table in OF_A_MODEL:
        if table in KEPT:
            continue
        orphans = f"FROM {table} WHERE NOT EXISTS (FROM model WHERE model.model_id = {table}.model_id)"
        count = transaction.sql(f"SELECT count(*) AS n {orphans}").item()
        if count:
            transaction.sql(f"DELETE {orphans}")
            yield "rows without their model deleted", table, count


def _tidied(lake: Lake) -> Iterator[tuple[str, str, int]]:
    for folder in (lake.weights.folder, lake.raw):
        for path in tidy(folder):
            yield "left half written, deleted", str(path), 1
