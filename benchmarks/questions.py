"""How long documented questions take at two million models, beside SQLite in PeaTMOSS's normal form.

    python benchmarks/questions.py [--models 2000000] [--data ../shared/data] [--folder DIR] [--rounds 5]

The models are the data set's 15,727 real records of the Hugging Face Hub and what was mined of them, repeated under new
names, with dates and downloads of their own. Lineage is made up: three in five models have parents, most of them among
20,000 bases of which the n-th has children in proportion to 1/n, as on the Hub; a hundredth have parents that nobody
knows, and a few stand on cycles. weightlake's time is that of `lake.sql` or `lineage_graph`, the opening of the file
included. SQLite's database has the tables and keys that PeaTMOSS publishes, and lineage in the same style, and stays
open. The least of several rounds is given. With --folder both are kept there and used again.
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb

from docs.questions import DATA, mined
from learners import lineage_graph
from schemas import Lake, open_lake

BASES = 20_000
COPIED = ("tag", "link", "revision", "evaluation", "file", "documentation")
PAIRS = ("tag", "library", "license", "language", "dataset", "paper", "author", "architecture", "framework")
PEER_ROUNDS = 2  # it takes seconds where weightlake takes milliseconds
MANY = 50_000  # rows at one time on their way into SQLite
AS_ON_THE_HUB = """
CREATE TEMP TABLE numbered AS SELECT row_number() OVER (ORDER BY created_at, model_id) - 1 AS n, model_id FROM model;
CREATE TEMP TABLE drawn AS
SELECT n, model_id, md5_number_lower('a' || n) / 18446744073709551616.0 AS a,
    md5_number_lower('b' || n) / 18446744073709551616.0 AS b, md5_number_lower('c' || n) / 18446744073709551616.0 AS c
FROM numbered;
INSERT INTO lineage
SELECT drawn.model_id, numbered.model_id,
    CASE WHEN a < 0.27 THEN 'finetune' WHEN a < 0.42 THEN 'adapter' WHEN a < 0.57 THEN 'quantized' ELSE 'merge' END,
    'tags', 1
FROM drawn JOIN numbered ON numbered.n = floor(if(b < 0.85, pow($bases, c), c * drawn.n)) AND numbered.n <> drawn.n
WHERE a < 0.6;
"""
ODD = """
INSERT INTO lineage SELECT model_id, 'huggingface:gone/' || n, 'finetune', 'tags', 1 FROM numbered WHERE n % 100 = 7;
INSERT INTO lineage SELECT one.model_id, other.model_id, 'finetune', 'tags', 1
FROM numbered AS one JOIN numbered AS other ON other.n IN (one.n + 1, one.n - 1) AND other.n // 2 = one.n // 2
WHERE one.n % 100000 IN (20, 21);
"""


class Question(NamedTuple):
    """One question: what it is called, weightlake's query (None: the graph of a family), SQLite's, and the goal."""

    name: str
    ours: str | None
    theirs: str
    seconds: float


QUESTIONS = [
    Question(
        "missing library, licence, datasets",
        "SELECT count(*) - count(library), count(*) - count(license), count(*) - (SELECT count(DISTINCT model_id) FROM"
        " link WHERE kind = 'dataset') FROM model",
        "SELECT (SELECT count(*) FROM model WHERE id NOT IN (SELECT model_id FROM model_to_library)), (SELECT count(*)"
        " FROM model WHERE id NOT IN (SELECT model_id FROM model_to_license)), (SELECT count(*) FROM model WHERE id"
        " NOT IN (SELECT model_id FROM model_to_dataset))",
        0.5,
    ),
    Question(
        "models by library",
        "SELECT library, count(*) FROM model GROUP BY ALL",
        "SELECT name, count(*) FROM model_to_library JOIN library ON id = library_id GROUP BY name",
        0.5,
    ),
    Question(
        "models by licence",
        "SELECT license, count(*) FROM model GROUP BY ALL",
        "SELECT name, count(*) FROM model_to_license JOIN license ON id = license_id GROUP BY name",
        0.5,
    ),
    Question(
        "models by language",
        "SELECT tag, count(*) FROM tag WHERE kind = 'language' GROUP BY ALL",
        "SELECT name, count(*) FROM model_to_language JOIN language ON id = language_id GROUP BY name",
        0.5,
    ),
    Question(
        "models by month, task and library",
        "SELECT month, task, sum(models) FROM models_by_month GROUP BY ALL",
        "SELECT substr(created_at, 1, 7), tag.name, count(*) FROM model JOIN model_to_tag ON model.id ="
        " model_to_tag.model_id JOIN tag ON tag_id = tag.id JOIN hf_commit ON hf_commit.model_id = model.id"
        " WHERE tag.name IN (SELECT name FROM task) GROUP BY 1, 2",
        0.5,
    ),
    Question(
        "concentration of downloads",
        "FROM download_concentration",
        "SELECT 2.0 * sum(place * downloads) / (count(*) * sum(downloads)) - (count(*) + 1.0) / count(*) FROM"
        " (SELECT downloads, row_number() OVER (ORDER BY downloads) AS place FROM model)",
        0.5,
    ),
    Question(
        "the hundred most downloaded",
        "SELECT model_id, downloads FROM model ORDER BY downloads DESC LIMIT 100",
        "SELECT id, context_id, downloads FROM model ORDER BY downloads DESC LIMIT 100",
        0.5,
    ),
    Question(
        "quantizations by base",
        "SELECT base_id, quantizations FROM quantizations ORDER BY quantizations DESC LIMIT 20",
        "SELECT parent_id, count(DISTINCT child_id) FROM model_to_base_model WHERE relation = 'quantized'"
        " GROUP BY parent_id ORDER BY 2 DESC LIMIT 20",
        0.5,
    ),
    Question(
        "one model's page",
        "SELECT model_id, task, library, license_spdx, downloads, has_card, (SELECT count(*) FROM lineage WHERE"
        " parent_id = $name), (SELECT list(target) FROM link WHERE link.model_id = $name) FROM models"
        " WHERE model_id = $name",
        "SELECT model.*, (SELECT group_concat(name) FROM model_to_library JOIN library ON library.id = library_id"
        " WHERE model_id = model.id), (SELECT group_concat(name) FROM model_to_license JOIN license ON license.id ="
        " license_id WHERE model_id = model.id), (SELECT group_concat(name) FROM model_to_dataset JOIN dataset ON"
        " dataset.id = dataset_id WHERE model_id = model.id), (SELECT count(*) FROM model_to_base_model WHERE"
        " parent_id = model.id) FROM model WHERE context_id = substr(:name, 13)",
        0.05,
    ),
    Question(
        "what comes from one model",
        "SELECT depth, relation, count(*) FROM descendants($name) AS found JOIN lineage ON child_id = found.model_id"
        " GROUP BY ALL ORDER BY ALL",
        "WITH RECURSIVE found(id, depth) AS (SELECT id, 0 FROM model WHERE context_id = substr(:name, 13) UNION"
        " SELECT child_id, depth + 1 FROM found JOIN model_to_base_model ON parent_id = found.id WHERE depth < 100)"
        " SELECT depth, relation, count(*) FROM found JOIN model_to_base_model ON child_id = found.id GROUP BY 1, 2",
        0.05,
    ),
    Question(
        "the whole family as a graph, described",
        None,
        "WITH RECURSIVE below(id) AS (SELECT id FROM model WHERE context_id = substr(:name, 13) UNION SELECT child_id"
        " FROM below JOIN model_to_base_model ON parent_id = below.id), above(id) AS (SELECT id FROM model WHERE"
        " context_id = substr(:name, 13) UNION SELECT parent_id FROM above JOIN model_to_base_model ON child_id ="
        " above.id), family AS (SELECT id FROM below UNION SELECT id FROM above) SELECT model.*, (SELECT"
        " group_concat(name) FROM model_to_library JOIN library ON library.id = library_id WHERE model_id = model.id),"
        " (SELECT group_concat(parent_id || relation) FROM model_to_base_model WHERE child_id = model.id) FROM model"
        " JOIN family USING (id)",
        0.05,
    ),
]


def main() -> None:
    """Ask every question of both and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=2_000_000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"the records are not at {given.data}; name their folder with --data")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        lake = filled(folder, given.data, given.models)
        peer = normalised(folder / "peatmoss.sqlite", lake)
        compare(lake, peer, given.rounds)


def compare(lake: Lake, peer: sqlite3.Connection, rounds: int) -> None:
    """Print both times of each question, the ratio, and whether the goal is met."""
    models = lake.sql("SELECT count(*) AS n FROM model")["n"][0]
    name = lake.sql(
        "SELECT parent_id FROM lineage SEMI JOIN model ON parent_id = model_id"
        " GROUP BY ALL HAVING count(*) = 50 ORDER BY ALL LIMIT 1"
    ).item()
    opening, _ = best(lambda: lake.sql("SELECT 1"), rounds)
    print(f"{models:,} models; milliseconds, of the processor in brackets; opening the lake takes {opening * 1000:.0f}")
    print(f"{'question':38}{'weightlake':>16}{'SQLite':>16}{'ratio':>8}{'goal':>8}")
    for question in QUESTIONS:
        ours, used = best(partial(ask, lake, question, name), rounds)
        theirs, theirs_used = best(partial(ask_peer, peer, question, name), PEER_ROUNDS)
        print(f"{question.name:38}{_figures(ours, used)}{_figures(theirs, theirs_used)}{theirs / ours:>8.1f}", end="")
        print(f"{question.seconds * 1000:>8.0f}{'' if ours <= question.seconds else '  missed'}")


def _figures(seconds: float, used: float) -> str:
    return f"{seconds * 1000:>8.0f} ({used * 1000:>5.0f})"


def ask(lake: Lake, question: Question, name: str) -> object:
    """Ask the lake a question, about the model `name` where it is about one."""
    if question.ours is None:
        return lineage_graph(lake, name)
    return lake.sql(question.ours, **({"name": name} if "$name" in question.ours else {}))


def ask_peer(peer: sqlite3.Connection, question: Question, name: str) -> object:
    """Ask SQLite the same."""
    return peer.execute(question.theirs, {"name": name} if ":name" in question.theirs else {}).fetchall()


def best(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Give the seconds of the quickest of several rounds, and the least processor time of them."""
    taken = []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - began, time.process_time() - used))
    return min(wall for wall, _ in taken), min(processor for _, processor in taken)


def filled(folder: Path, data: Path, models: int) -> Lake:
    """Give the lake of so many models, made from the mined sample unless it is there."""
    if (folder / "big" / "lake.duckdb").exists():
        return open_lake(folder / "big")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    sample = mined(folder / "sample", data)
    lake = open_lake(folder / "big")
    with duckdb.connect(str(lake.database)) as connection:
        connection.execute(f"ATTACH '{sample.database}' AS sample (READ_ONLY)")
        connection.execute("SET preserve_insertion_order = false")
        repeat(connection, models)
    print(f"made the lake in {time.perf_counter() - began:.0f} s, {lake.database.stat().st_size / 1e6:,.0f} MB")
    return lake


def repeat(connection: duckdb.DuckDBPyConnection, models: int) -> None:
    """Copy the sample's rows under new names until there are so many models, and make up their lineage."""
    copies = -(-models // 15_727)
    share = "md5_number_lower(model_id || n) / 18446744073709551616.0"
    _copy(
        connection,
        "model",
        copies,
        f", name || '-' || n AS name, TIMESTAMPTZ '2022-03-01' + to_seconds((1.2e8 * {share})::BIGINT) AS created_at"
        f", coalesce(downloads, 0) + floor(pow(10, 6 * pow({share}, 6)))::BIGINT - 1 AS downloads",
    )
    for table in COPIED:
        _copy(connection, table, copies)
    _copy(connection, "card", copies, ", left(text, 300) AS text")
    for week in range(3):
        _copy(connection, "observation", copies, f", TIMESTAMPTZ '2026-10-01' + INTERVAL {7 * week} DAY AS observed_at")
    for statement in filter(str.strip, AS_ON_THE_HUB.split(";")):
        connection.execute(statement, {"bases": BASES} if "$bases" in statement else None)
    connection.execute(ODD)


def _copy(connection: duckdb.DuckDBPyConnection, table: str, copies: int, changed: str = "") -> None:
    connection.execute(
        f"INSERT INTO {table} BY NAME SELECT r.* REPLACE (model_id || '-' || n AS model_id {changed})"
        f" FROM sample.{table} AS r, range({copies}) AS again(n)"
    )


def normalised(file: Path, lake: Lake) -> sqlite3.Connection:
    """Give the same models in PeaTMOSS's tables and keys, made from the lake unless the file is there."""
    if file.exists():
        return sqlite3.connect(file)
    began = time.perf_counter()
    peer = sqlite3.connect(file)
    peer.executescript(_tables())
    with duckdb.connect(str(lake.database), read_only=True) as source:
        fill(peer, source)
    peer.execute("ANALYZE")
    peer.commit()
    print(f"made SQLite's database in {time.perf_counter() - began:.0f} s, {file.stat().st_size / 1e6:,.0f} MB")
    return peer


def fill(peer: sqlite3.Connection, source: duckdb.DuckDBPyConnection) -> None:
    """Bring the rows of PeaTMOSS's views into the tables, with numbers from 1 as there."""
    source.execute(
        "CREATE TEMP TABLE m AS SELECT row_number() OVER () AS id, id AS number, * EXCLUDE id FROM peatmoss.model"
    )
    _pour(
        peer,
        "model",
        source,
        "SELECT id, context_id, model_hub_id, sha, repo_url, downloads, likes, has_snapshot FROM m",
    )
    for name in PAIRS:
        source.execute(
            "CREATE OR REPLACE TEMP TABLE t AS SELECT row_number() OVER () AS id, id AS number, name"
            f" FROM peatmoss.{name}"
        )
        _pour(peer, name, source, "SELECT id, name FROM t")
        pairs = (
            f"SELECT m.id, t.id FROM peatmoss.model_to_{name} AS p"
            f" JOIN m ON m.number = model_id JOIN t ON t.number = {name}_id"
        )
        _pour(peer, f"model_to_{name}", source, pairs)
    commits = (
        "SELECT row_number() OVER (), commit_id, created_at, m.id FROM peatmoss.hf_commit JOIN m ON m.number = model_id"
    )
    _pour(peer, "hf_commit", source, commits)
    _pour(peer, "task", source, "SELECT DISTINCT task FROM main.model WHERE task IS NOT NULL")
    parents = (
        "SELECT DISTINCT child.id, parent.id, relation FROM main.lineage"
        " JOIN m AS child ON child.number = peatmoss.number(child_id)"
        " JOIN m AS parent ON parent.number = peatmoss.number(parent_id)"
    )
    _pour(peer, "model_to_base_model", source, parents)


def _pour(peer: sqlite3.Connection, table: str, source: duckdb.DuckDBPyConnection, query: str) -> None:
    answer = source.execute(query)
    marks = ", ".join("?" * len(answer.description))
    for rows in _portions(answer):
        peer.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    peer.commit()


def _portions(answer: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[object, ...]]]:
    while rows := answer.fetchmany(MANY):
        yield rows


def _tables() -> str:
    """PeaTMOSS's tables with their primary keys and unique columns; it publishes no other index."""
    parts = [
        "CREATE TABLE model (id INTEGER PRIMARY KEY, context_id VARCHAR UNIQUE, model_hub_id INTEGER, sha VARCHAR,"
        " repo_url VARCHAR, downloads INTEGER, likes INTEGER, has_snapshot INTEGER);",
        "CREATE TABLE hf_commit (id INTEGER PRIMARY KEY, commit_id VARCHAR, created_at VARCHAR, model_id INTEGER);",
        "CREATE TABLE task (name VARCHAR PRIMARY KEY);",
        "CREATE TABLE model_to_base_model (child_id INTEGER, parent_id INTEGER, relation VARCHAR,"
        " PRIMARY KEY (child_id, parent_id, relation));",
    ]
    for name in PAIRS:
        parts.append(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, name VARCHAR UNIQUE);")
        parts.append(
            f"CREATE TABLE model_to_{name} (model_id INTEGER, {name}_id INTEGER, PRIMARY KEY (model_id, {name}_id));"
        )
    return "\n".join(["PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", *parts])


if __name__ == "__main__":
    main()
