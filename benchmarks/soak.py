"""A crawl of a hub that misbehaves, killed again and again, must leave what an undisturbed one leaves.

    python benchmarks/soak.py [--records 300000] [--repositories 1000] [--kills 20] [--faults 0.02] [--seed 0]

The hub is the tests' own, on loopback: the data set's real records under new names, some of them with a repository
of a card and a configuration. The share `--faults` of its answers is refused, broken off or wrong. The command line
mines it with `--cards --configs` and is killed (SIGKILL) at random requests; the last process may come to its end.
Then every table is compared, row by row, with that of a crawl that nothing happened to; the program ends with 1 if
they differ.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from schemas import examine, open_lake
from tests.hub import TestHub

ROOT = Path(__file__).parents[1]
OWN = {"crawl_id", "observed_at", "first_seen", "last_seen", "fetched_at", "happened_at"}  # times and names of a run


def main() -> int:
    """Crawl twice, once disturbed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--repositories", type=int, default=1000, help="records that have a card and a configuration")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--faults", type=float, default=0.02, help="share of the requests that are answered wrongly")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = list(records(given.data, given.records, given.repositories))
        fill(folder / "repositories", listed[: given.repositories])
        with TestHub(listed, folder / "repositories") as hub:
            began = time.perf_counter()
            mine(folder / "undisturbed", hub).wait()
            requests = len(hub.log)
            print(f"undisturbed: {requests:,} requests, {time.perf_counter() - began:.0f} s")
            hub.orders.fail_at_random(given.faults, given.seed)
            began = time.perf_counter()
            kills = disturb(folder / "disturbed", hub, requests, given.kills, random.Random(given.seed))
            print(
                f"disturbed: {len(hub.log) - requests:,} requests, {time.perf_counter() - began:.0f} s, {kills} kills"
            )
        return compare(folder / "undisturbed", folder / "disturbed")


def records(data: Path, count: int, repositories: int) -> Iterator[dict[str, Any]]:
    """Give records with a name and a time of creation of their own; only the first ones list a card."""
    real = list(read(data)) or [{"tags": ["license:mit"], "siblings": [{"rfilename": "README.md"}]}]
    for number in range(count):
        record = dict(real[number % len(real)])
        record.pop("modelId", None)
        name = str(record.pop("id", "owner/model"))
        files = [] if number < repositories else record.get("siblings") or []
        card = ["README.md", "config.json"] if number < repositories else []
        kept = [file for file in files if file.get("rfilename") not in ("README.md", "config.json")]
        yield record | {
            "_id": f"{number:024x}",
            "id": f"{name}-{number}",
            "sha": f"{number:040x}",
            "createdAt": f"{2020 + number % 6}-{1 + number % 12:02d}-{1 + number % 28:02d}T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in card] + kept,
        }


def read(data: Path) -> Iterator[dict[str, Any]]:
    """Give the real records, oldest file first."""
    for path in sorted((data / "hubs" / "huggingface").glob("models_*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            record = json.loads(line)
            yield {"id": record.get("id") or record["modelId"], **record}


def fill(folder: Path, listed: list[dict[str, Any]]) -> None:
    """Write a card and a configuration for each of the records."""
    for record in listed:
        place = folder / record["id"]
        place.mkdir(parents=True)
        (place / "README.md").write_text(f"---\nlicense: mit\n---\n# {record['id']}\nIt is a model.\n")
        (place / "config.json").write_text(json.dumps({"model_type": "bert", "name": record["id"]}))


def mine(lake: Path, hub: TestHub) -> "subprocess.Popen[bytes]":
    """Start the command line."""
    asked = ["mine", "huggingface", "--endpoint", hub.url, "--lake", str(lake), "--cards", "--configs", "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "weightlake", *asked], cwd=ROOT, stdout=subprocess.DEVNULL)


def disturb(lake: Path, hub: TestHub, requests: int, kills: int, chance: random.Random) -> int:
    """Kill so many processes on their way, then let one come to its end; say how many were still at work."""
    at_work = 0
    for _ in range(kills):
        process, begun = mine(lake, hub), len(hub.log)
        until = begun + chance.randrange(1, max(3, 2 * requests // max(1, kills)))
        while len(hub.log) < until and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.3)
        at_work += process.poll() is None
        process.kill()
        process.wait()
    while mine(lake, hub).wait():  # a fault may come eight times in a row
        print("a process gave up; the next one goes on")
    return at_work


def compare(expected: Path, found: Path) -> int:
    """Print each table's rows and differences; 1 if there are any, or the lake is not sound."""
    problems = examine(open_lake(found, read_only=True))
    print(f"{problems.height} problems that the doctor finds")
    database = duckdb.connect()
    for name, lake in (("expected", expected), ("found", found)):
        database.execute(f"ATTACH '{lake / 'lake.duckdb'}' AS {name} (READ_ONLY)")
    tables = database.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'expected' AND schema_name = 'main' ORDER BY 1"
    )
    differing = [differs(database, table) for (table,) in tables.fetchall() if table != "migration"]
    print("equal, every row of every table" if not any(differing) else f"{sum(differing)} tables differ")
    return 1 if any(differing) or problems.height else 0


def differs(database: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Compare a table of both lakes as bags of rows."""
    own = OWN | {"started_at", "ended_at", "listed_at", "watermark"}
    columns = database.execute(
        "SELECT column_name FROM duckdb_columns() WHERE database_name = 'expected' AND schema_name = 'main' "
        "AND table_name = ?",
        [table],
    )
    kept = ", ".join(f'"{name}"' for (name,) in columns.fetchall() if name not in own)
    one, other = (f"(SELECT {kept} FROM {name}.{table})" for name in ("expected", "found"))
    count = "SELECT (SELECT count(*) FROM {0}), (SELECT count(*) FROM ({0} EXCEPT ALL {1}))"
    rows, missing = row(database, count.format(one, other))
    _, surplus = row(database, count.format(other, one))
    if rows or surplus:
        print(f"{table:16}{rows:12,} rows{missing:8,} missing{surplus:8,} too many")
    return bool(missing or surplus)


def row(database: duckdb.DuckDBPyConnection, query: str) -> tuple[int, int]:
    """Give the two numbers that a query returns."""
    found = database.execute(query).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])


if __name__ == "__main__":
    sys.exit(main())
