"""Mends a lake where that loses nothing: rows that stand twice, rows without their model, files left half written."""

from collections.abc import Iterator

import polars as pl

from schemas.errors import UsageError
from schemas.files import tidy
from schemas.ghosts import OF_A_MODEL, OF_A_POPULATION, Remains, ghosts, lost_populations
from schemas.lake import Lake
from schemas.transaction import Transaction
from schemas.unique import MOMENTS, UNIQUE, WHOLE

COUNTED = "SELECT (SELECT count(*) FROM doubled) AS doubled, (SELECT count(*) FROM single) AS single"
REPAIRED = {"repair": pl.String, "what": pl.String, "count": pl.Int64}


def repair(lake: Lake) -> pl.DataFrame:
    """Mend what can be mended without losing anything: all rows in one transaction, then the files.

    Rows that are equal in every column of a table become one, and of measurements that differ only in when they were
    taken the earliest stays. Rows go whose model or population is not in the lake, unless its files still are: then the
    same build or merge brings it back. Files and folders that a killed writer has left go, once nobody has touched them
    for an hour. What `examine` still finds afterwards needs somebody to decide.

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
        remains = Remains(lake.weights.folder, transaction)
        done = [*_made_unique(transaction), *_without_ghosts(transaction, remains)]
    return pl.DataFrame([*done, *_tidied(lake)], schema=REPAIRED, orient="row")


def _made_unique(transaction: Transaction) -> Iterator[tuple[str, str, int]]:
    for table, key in UNIQUE.items():
        twice = f"SELECT {key} FROM {table} GROUP BY ALL HAVING count(*) > 1"  # noqa: S608 - our names
        if transaction.sql(f"{twice} LIMIT 1").is_empty():
            continue
        names = transaction.sql(f"FROM {table} LIMIT 0").columns if key == WHOLE else key.split(", ")
        same = " AND ".join(f'one."{name}" IS NOT DISTINCT FROM other."{name}"' for name in names)
        chosen = f"FROM {table} AS one WHERE EXISTS (FROM ({twice}) AS other WHERE {same})"
        moment = MOMENTS.get(table)
        once = f"* EXCLUDE ({moment}), min({moment}) AS {moment}" if moment else "DISTINCT *"
        grouped = "GROUP BY ALL" if moment else ""
        transaction.sql(f"CREATE OR REPLACE TEMP TABLE doubled AS SELECT * {chosen}")
        transaction.sql(f"CREATE OR REPLACE TEMP TABLE single AS SELECT {once} FROM doubled {grouped}")  # noqa: S608 - our names
        rows, different = transaction.sql(COUNTED).row(0)
        if rows > different:
            transaction.sql(f"DELETE {chosen}")
            transaction.sql(f"INSERT INTO {table} BY NAME FROM single")
            yield "equal rows made one", table, rows - different


def _without_ghosts(transaction: Transaction, remains: Remains) -> Iterator[tuple[str, str, int]]:
    lost = {table: [name for name in ghosts(transaction, table) if not remains.of_model(name)] for table in OF_A_MODEL}
    for table, names in lost.items():
        count = sum(_deleted(transaction, table, column, names) for column in OF_A_MODEL[table].split(", "))
        if count:
            yield "rows without their model deleted", table, count
    for table in OF_A_POPULATION:
        names = [name for name in lost_populations(transaction, table) if not remains.of_population(name)]
        if count := _deleted(transaction, table, "population_id", names):
            yield "rows without their population deleted", table, count


def _deleted(transaction: Transaction, table: str, column: str, names: list[str | None]) -> int:
    """Delete the rows whose column is one of these names, which may be NULL; gives their number."""
    if not names:
        return 0
    transaction.register("lost", pl.DataFrame({"name": names}, schema={"name": pl.String}))
    chosen = f"FROM {table} WHERE EXISTS (FROM lost WHERE lost.name IS NOT DISTINCT FROM {table}.{column})"
    count = int(transaction.sql(f"SELECT count(*) AS n {chosen}").item())
    transaction.sql(f"DELETE {chosen}")
    return count


def _tidied(lake: Lake) -> Iterator[tuple[str, str, int]]:
    for folder in (lake.weights.folder, lake.raw):
        for path in tidy(folder):
            yield "left half written, deleted", str(path), 1
