"""Publishes tables of a lake, or what a query gives, as a dataset, without what is not for others."""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas import Lake, Reading, UsageError
from schemas.files import write_whole
from zoo.mistakes import expected_one_of
from zoo.publishing.dataset import Progress
from zoo.publishing.folder import CARD_FILE, remove_others
from zoo.publishing.limits import check_limits
from zoo.publishing.mined_card import MinedFacts, mined_card
from zoo.publishing.privacy import hide, quoting, scrubbed, without_folders
from zoo.publishing.sending import Destination, sizes
from zoo.publishing.written import text_bytes

NAMES = """
SELECT table_name AS name, comment FROM duckdb_tables() WHERE schema_name = 'main' AND NOT internal AND NOT temporary
UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal AND NOT temporary
"""
MEANINGS = """
SELECT column_name, any_value(comment ORDER BY table_name NOT IN ('models', 'model', 'member')) AS comment
FROM duckdb_columns() WHERE comment IS NOT NULL AND NOT internal GROUP BY ALL
"""
CRAWLS = """
SELECT hub, coalesce(crawl.source, 'files of the publisher') AS source, count(*) AS runs,
    sum(rows_stored)::BIGINT AS records, max(started_at)::DATE AS newest,
    max(software) AS software
FROM crawl GROUP BY ALL ORDER BY ALL
"""
LICENSED = "SELECT rows_of.*, model.license, model.license_spdx FROM {0} AS rows_of LEFT JOIN model USING (model_id)"
QUERY_NAME = "query"


def publish_tables(
    lake: Lake,
    what: str,
    to: str | Path,
    *,
    name: str = QUERY_NAME,
    with_cards: bool = False,
    license_id: str | None = None,
    private: bool = False,
    endpoint: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Publish tables and views of a lake, or the rows of a query, as a dataset that `datasets` and DuckDB read.

    E-mail addresses never leave a lake, nor do folders of this machine.

    Args:
        lake: Where they are.
        what: Names of tables and views, with commas between them; or a query.
        to: Folder to write to, or hf:owner/name for a dataset on the Hugging Face Hub, see `publish_population`.
        name: What the rows of a query are called: the dataset's configuration.
        with_cards: Publish texts of model cards and what quotes them too, with the licence of each model beside.
        license_id: Licence of the tables, as hubs name it, e.g. `cc-by-4.0`; None states none.
        private: Make a repository that only its owner sees, if it is made.
        endpoint: URL of another hub.
        dry_run: Write nothing, and ask no hub.
        progress: Called with rows written, rows in all, and the table that was written.

    Returns:
        A row a file: `file`, `rows`, `bytes`, and for a hub the number of its `commit`.

    Raises:
        UsageError: There is no such table, DuckDB refuses the query, it has no rows, or it gives texts of cards
            without a column `license`; or the folder holds other things.
        OutsideError: The disk is full or cannot be written.
        HubError: The hub cannot be reached, or refuses; the same call goes on from there.
    """
    if not re.fullmatch(r"\w+", name):
        raise UsageError(f"name = {name!r}: expected letters, digits and underscores, e.g. licences")
    destination = Destination(lake, to)
    with lake.read() as reading:
        content = _content(reading, what, name, with_cards)
        files = content.files()
        if dry_run:
            return destination.with_commits(files)
        facts = _facts(reading, destination, content, license_id, with_cards)
        written = [*content.write(reading, destination.folder, progress), CARD_FILE]
    write_whole(destination.folder / CARD_FILE, text_bytes(mined_card(facts)))
    check_limits(written, "publish fewer rows")
    remove_others(destination.folder, written)
    files = sizes(destination.folder, written, files)
    destination.send(files, private, endpoint)
    return destination.with_commits(files)


@dataclass(frozen=True)
class _Content:
    """What is published; each by the name of its configuration."""

    queries: dict[str, str]
    counts: dict[str, int]
    """Rows of each; those without any are left out everywhere."""
    holds: dict[str, str]
    """What each is, in words, or the query."""

    def files(self) -> pl.DataFrame:
        """The files that there will be, as far as they can be told before they are written."""
        tables = [(f"{each}/train-0.parquet", count, None) for each, count in self.counts.items()]
        schema = {"file": pl.String, "rows": pl.Int64, "bytes": pl.Int64}
        return pl.DataFrame([*tables, (CARD_FILE, None, None)], schema=schema, orient="row")

    def columns(self, reading: Reading) -> list[tuple[str, str]]:
        """Each configuration and column."""
        return [(each, column) for each, query in self.queries.items() for column in _columns(reading, query)]

    def write(self, reading: Reading, folder: Path, progress: Progress | None) -> list[str]:
        """Write the tables, and give the files' names within the folder."""
        written: list[Path] = []
        done, total = 0, sum(self.counts.values())
        for each, query in self.queries.items():
            written += reading.write_parquet(scrubbed(reading, query), folder / each, "train")
            done += self.counts[each]
            if progress:
                progress(done, total, each)
        return [path.relative_to(folder).as_posix() for path in written]


def _content(reading: Reading, what: str, name: str, with_cards: bool) -> _Content:
    """Find what is asked for, and hide from the reading what is not to leave."""
    known = dict(reading.sql(NAMES).rows())
    cards = quoting(reading) if with_cards else set()
    queries = _queries(reading, what, name, known, cards)
    hide(reading, with_cards)
    _check_licences(reading, queries, cards)
    counts = _counts(reading, queries)
    if not counts:
        raise UsageError(f"{what!r} has no rows; there is nothing to publish")
    chosen = {each: queries[each] for each in counts}
    holds = {each: known.get(each) or f"`{without_folders(' '.join(query.split()))}`" for each, query in chosen.items()}
    return _Content(chosen, counts, holds)


def _queries(reading: Reading, what: str, name: str, known: dict[str, str], cards: set[str]) -> dict[str, str]:
    """A query for each configuration; `cards` are the tables and views to which a licence belongs."""
    tables = [part.strip() for part in what.split(",")]
    if all(re.fullmatch(r"\w+", table) for table in tables):
        unknown = [table for table in tables if table not in known]
        if unknown:
            raise UsageError(f"{unknown[0]!r} is no table of this lake: {expected_one_of(unknown[0], known)}")
        licensed = {table for table in cards.intersection(tables) if not _is_licensed(reading, f'FROM "{table}"')}
        return {table: LICENSED.format(table) if table in licensed else f'FROM "{table}"' for table in tables}
    if re.search(r"\blake\s*\.", what):
        raise UsageError("name tables without the lake's name: FROM model, not FROM lake.model")
    return {name: what.strip().rstrip(";")}


def _counts(reading: Reading, queries: dict[str, str]) -> dict[str, int]:
    """The rows of each configuration that has any."""
    count = "SELECT count(*) AS n FROM ({})"
    counts = {each: reading.sql(count.format(query))["n"].item() for each, query in queries.items()}
    return {each: count for each, count in counts.items() if count}


def _check_licences(reading: Reading, queries: dict[str, str], cards: set[str]) -> None:
    """A query that may give texts of cards has to give the licence of their models too."""
    for each, query in queries.items():
        quoted = sorted(set(re.findall(r"\w+", query)) & cards)
        if quoted and not _is_licensed(reading, query):
            raise UsageError(
                f"{each} may give texts of {', '.join(quoted)} without their licence; "
                "join model and return its license too, or leave --with-cards out"
            )


def _is_licensed(reading: Reading, query: str) -> bool:
    return bool({"license", "license_spdx"} & set(_columns(reading, query)))


def _columns(reading: Reading, query: str) -> list[str]:
    return reading.sql(f"SELECT * FROM ({query}) LIMIT 0").columns  # noqa: S608 - it only reads


def _facts(
    reading: Reading, destination: Destination, content: _Content, license_id: str | None, with_cards: bool
) -> MinedFacts:
    meanings = dict(reading.sql(MEANINGS).rows())
    columns = [(each, column, meanings.get(column)) for each, column in content.columns(reading)]
    return MinedFacts(
        title=f"{destination.name.rpartition('/')[2]}",
        place=destination.name,
        on_hub=destination.repository is not None,
        license_id=license_id,
        counts=content.counts,
        holds=content.holds,
        columns=pl.DataFrame(columns, schema=["table", "column", "meaning"], orient="row"),
        crawls=reading.sql(CRAWLS),
        with_cards=with_cards,
    )
