"""Examines a lake: rows that stand twice, rows without their model, files that are missing, damaged or nobody's."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import polars as pl

from schemas import ghosts, lying
from schemas.lake import Lake
from schemas.reading import Reading
from schemas.unique import UNIQUE, WHOLE

FINDINGS = {"check": pl.String, "problem": pl.String, "example": pl.String}
TOGETHER = 8
"""Tables that are looked through while nobody can write."""
Problem = tuple[str, str, str]
"""Which check found it, what it is, and an example."""
UNMADE = """
SELECT model_id FROM model ANTI JOIN member USING (model_id) WHERE hub = 'zoo'
UNION ALL SELECT model_id FROM model ANTI JOIN product USING (model_id) WHERE hub = 'made' ORDER BY ALL
"""

UNUSABLE = """
SELECT model_id, state, count(*) FILTER (final AND shard IS NOT NULL) AS finals
FROM member LEFT JOIN checkpoint USING (model_id) WHERE state IN ('trained', 'diverged')
GROUP BY ALL HAVING finals <> 1 ORDER BY ALL
"""


def examine(lake: Lake, weights: bool = True) -> pl.DataFrame:
    """Look for everything that the tables cannot rule out by themselves.

    Args:
        lake: The lake; it is only read.
        weights: Read every shard whole and compare its SHA-256; without it only its header and its length are checked.

    Returns:
        A row per problem: which check found it, what it is, and an example. Empty where the lake is sound.
    """
    with lake.read() as tables:
        remains, named = ghosts.Remains(lake.weights.folder, tables), lying.named(tables)
        others = [*_unmade(tables), *_miscounted(tables), *_unusable(tables)]
    with_names = dict.fromkeys([*ghosts.OF_A_MODEL, *ghosts.OF_A_POPULATION])
    found = [
        *_of_tables(lake, UNIQUE, _duplicates),
        *_of_tables(lake, with_names, partial(ghosts.found, remains=remains)),
        *others,
        *lying.rows_without_files(lake, named, weights),
        *lying.files_without_rows(lake, named),
    ]
    return pl.DataFrame(found, schema=FINDINGS, orient="row")


def _of_tables(
    lake: Lake, names: Iterable[str], look: Callable[[Reading, str], Iterator[Problem]]
) -> Iterator[Problem]:
    """Look through tables, a few at a time, so that nobody who wants to write waits for all of them."""
    left = list(names)
    while left:
        some, left = left[:TOGETHER], left[TOGETHER:]
        with lake.read() as tables:
            found = [problem for name in some for problem in look(tables, name)]
        yield from found


def _duplicates(tables: Reading, table: str) -> Iterator[Problem]:
    key = UNIQUE[table]
    rows = tables.sql(f"SELECT {key}, count(*) AS times FROM {table} GROUP BY ALL HAVING times > 1 ORDER BY ALL")  # noqa: S608 - our names
    if not rows.is_empty():
        what = "row" if key == WHOLE else "value"
        where = table if key == WHOLE else f"{table}({key})"
        stand = "stands" if rows.height == 1 else "stand"
        yield "unique", f"{_counted(rows.height, what)} of {where} {stand} there more than once", _example(rows)


def _unmade(tables: Reading) -> Iterator[Problem]:
    names = tables.sql(UNMADE)
    if not names.is_empty():
        counted = _counted(names.height, "model")
        yield "orphans", f"{counted} of the hubs zoo and made without a row in member or product", _example(names)


def _miscounted(tables: Reading) -> Iterator[Problem]:
    query = "SELECT crawl_id FROM crawl WHERE state = 'finished' AND rows_seen <> rows_stored + failures"
    rows = tables.sql(query)
    if not rows.is_empty():
        saw = "saw more rows than were stored and failed on"
        yield "counts", f"{_counted(rows.height, 'crawl')} {saw}", _example(rows)


def _unusable(tables: Reading) -> Iterator[Problem]:
    """Members with none, or several, of the weights that are meant when no epoch is named."""
    found = tables.sql(UNUSABLE)
    for problem, rows in (
        ("without a final checkpoint; build or import again what they are of", found.filter(pl.col("finals") == 0)),
        ("with several final checkpoints; only one can be", found.filter(pl.col("finals") > 1)),
    ):
        if not rows.is_empty():
            yield "weights", f"{_counted(rows.height, 'trained member')} {problem}", rows["model_id"][0]


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _example(rows: pl.DataFrame) -> str:
    return ", ".join(str(value) for value in rows.row(0))
