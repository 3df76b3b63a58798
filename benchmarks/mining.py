"""How many records a second go from raw pages to committed rows on two cores, beside ways of doing less or worse.

    python benchmarks/mining.py [--records 1000000] [--data ../shared/data]
    python benchmarks/mining.py --snapshot [--records 1000000] [--runs 3]

The pages are the data set's 15,727 real records of the Hugging Face Hub, repeated under new names. weightlake keeps
each page (Parquet, zstd), turns it into rows of nine tables and commits them in a thread beside that. The pages lie on
disk, as a hub's do elsewhere. The floor is `json.loads` of the same bytes. The peer does what PeaTMOSS does:
huggingface_hub's ModelInfo objects, written to SQLite with executemany, one table for models and one each for tags and
files. It and the floor are measured on the first hundred thousand records.

With --snapshot the same records lie in a file, as JSON lines or in the columns of hub-stats (Parquet), and
`weightlake mine snapshot` brings them into a new lake, each run in a process of its own. The yardsticks are DuckDB
reading the same columns of the file and counting, and DuckDB writing the very rows that the lake holds in the end,
which come ready made from Parquet. The processor's time says what two idle cores would do.
"""

import argparse
import gzip
import itertools
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is loaded
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))

import duckdb
from huggingface_hub.hf_api import ModelInfo

from miners import listing
from miners.crawl import Run, silent
from miners.http import Answer
from miners.raw import keep
from schemas import Lake, open_lake

PAGE = 1000
FEW = 100_000
HUB = "https://hub.example"


def main() -> None:
    """Run all three on the same pages and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int)
    parser.add_argument("--snapshot", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"the records are not at {given.data}; name their folder with --data")
    if given.snapshot:
        snapshots(given.data / "hubs" / "huggingface", given.records or 1_000_000, given.runs)
        return
    with tempfile.TemporaryDirectory() as folder:
        pages = Pages(Path(folder) / "pages", given.data / "hubs" / "huggingface", given.records or 1_000_000)
        compare(Path(folder), pages)


def compare(folder: Path, pages: "Pages") -> None:
    """Run all three on the same pages and print the comparison."""
    print(f"{pages.records:,} records, {pages.bytes / 1e6:.0f} MB of JSON in {len(pages.files)} pages, two cores")
    before, used = peak(), time.process_time()
    stages = weightlake(folder / "lake", pages)
    processor = time.process_time() - used
    print(f"peak memory {peak():.0f} MB, {peak() - before:.0f} MB of it for mining")
    print(
        f"the processor's time {processor:.2f} s: {2 * pages.records / processor:,.0f} records/s, were all of both used"
    )
    few = list(itertools.islice(pages, FEW // PAGE))
    count = min(FEW, pages.records)
    total = (stages["  keep raw pages"] + stages["  pages to rows"]) / pages.records
    floor = timed(lambda: parse(few)) / count
    peer = timed(lambda: peatmoss(folder / "peer.sqlite", few)) / count
    each = {name: seconds / pages.records for name, seconds in stages.items()}
    for name, seconds in {**each, "weightlake": total, "json.loads": floor, "ModelInfo + SQLite": peer}.items():
        print(f"{name:24}{seconds * 1e6:8.1f} µs a record{1 / seconds:12,.0f} records/s")
    print(
        f"weightlake is {peer / total:.1f} times as fast as ModelInfo + SQLite, and takes {total / floor:.1f} times "
        "as long as json.loads alone"
    )


class Pages:
    """Pages of real records on disk; from the second round on each record has a name of its own."""

    def __init__(self, folder: Path, data: Path, count: int) -> None:
        folder.mkdir()
        self.records, self.bytes = count, 0
        self.files = [folder / f"{place:06d}.json" for place in range(-(-count // PAGE))]
        found = many(data, count)
        for file in self.files:
            self.bytes += file.write_bytes(b"[" + b",".join(itertools.islice(found, PAGE)) + b"]")

    def __iter__(self) -> Iterator[bytes]:
        """Read one after the other."""
        return (file.read_bytes() for file in self.files)


def many(folder: Path, count: int) -> Iterator[bytes]:
    """Give so many real records, repeated under other names."""
    lines = [
        line
        for name in ("models_2022", "models_2025")
        for line in gzip.decompress((folder / f"{name}.jsonl.gz").read_bytes()).splitlines()
    ]
    return (renamed(lines[place % len(lines)], place // len(lines)) for place in range(count))


def renamed(line: bytes, number: int) -> bytes:
    """Give a record another name, the first time its own."""
    if not number:
        return line
    record = json.loads(line)
    for key in ("id", "modelId", "_id"):
        if key in record:
            record[key] = f"{record[key]}-again-{number}"
    return json.dumps(record, ensure_ascii=False).encode()


def weightlake(folder: Path, pages: Iterable[bytes]) -> dict[str, float]:
    """Bring pages into a new lake; seconds by stage."""
    clock = Stages()
    with open_lake(folder) as lake, Run(clock.timing(lake), "huggingface", {}, HUB, now, time.monotonic) as run:
        answers = (Answer(f"{HUB}/{place}", 200, {}, page, now()) for place, page in enumerate(pages))
        listing.Listing(run, None, silent).read(clock.kept(run, answers))
    return clock.seconds()


def snapshots(folder: Path, count: int, runs: int) -> None:
    """Mine a snapshot file of so many records, as Parquet and as JSON lines; print the best of several runs."""
    with tempfile.TemporaryDirectory() as place:
        lines = Path(place) / "2025-03-05.jsonl"
        with lines.open("wb") as target:
            target.writelines(line + b"\n" for line in many(folder, count))
        parquet = write_hub_stats(lines, Path(place) / "2025-03-05.parquet")
        for file in (parquet, lines):
            print(f"{count:,} records, {file.stat().st_size / 1e6:,.0f} MB of {file.suffix[1:]}, two cores")
            print("                     seconds  records/s   processor s  idle cores, records/s   peak MB")
            rows = Path(place) / "rows"
            for name, program, source in (
                ("DuckDB counts", COUNT, file),
                ("weightlake", MINE, file),
                ("DuckDB writes rows", WRITE, rows),
            ):
                if program is WRITE:
                    export_rows(Path(place) / "lake", rows)
                best = min(
                    (measured(program, source, Path(place) / "lake") for _ in range(runs)), key=lambda one: one[0]
                )
                wall, processor, memory = best
                rates = f"{wall:8.2f}{count / wall:11,.0f}{processor:14.2f}{2 * count / processor:23,.0f}"
                print(f"{name:20}{rates}{memory:10,.0f}")


COUNT = """
import duckdb
source = duckdb.sql(f"SELECT tags, siblings, config, sha FROM '{file}'")
source.aggregate("count(*), sum(len(tags)), sum(len(siblings)), count(config), count(DISTINCT sha)").fetchall()
"""
MINE = """
assert mine(open_lake(lake), "snapshot", source=file).failures == 0
"""
WRITE = """
import duckdb
from pathlib import Path
Path(lake).mkdir()
with duckdb.connect(f"{lake}/rows.duckdb", config={"threads": 2}) as target:
    target.execute("SET preserve_insertion_order = false")
    for table in Path(file).iterdir():
        target.execute(f"CREATE TABLE {table.stem} AS FROM '{table}'")
"""
MEASURED = """
import resource, sys, time
from miners.mining import mine
from schemas import open_lake
file, lake = sys.argv[1:]
before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
{program}
wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
print(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024)
"""


def measured(program: str, file: Path, lake: Path) -> tuple[float, float, float]:
    """Run a program in a process of its own: seconds, seconds of the processor, and its largest memory in MB."""
    shutil.rmtree(lake, ignore_errors=True)
    script = lake.with_name("program.py")  # DuckDB draws a progress bar into the output of what has no file
    script.write_text(MEASURED.replace("{program}", program), encoding="utf-8")
    settings = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, str(script), str(file), str(lake)]
    done = subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True)
    wall, processor, memory = map(float, done.stdout.split())
    return wall, processor, memory


def export_rows(lake: Path, folder: Path) -> None:
    """Write every table of a lake that has rows into a Parquet file of its own."""
    folder.mkdir(exist_ok=True)
    with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as source:
        tables = source.execute("SELECT table_name FROM duckdb_tables() WHERE estimated_size > 0").fetchall()
        for (table,) in tables:
            source.execute(f"COPY {table} TO '{folder / table}.parquet' (COMPRESSION lz4)")


def write_hub_stats(lines: Path, file: Path) -> Path:
    """Write JSON lines as Parquet in the columns of hub-stats, nested fields as texts of JSON."""
    read = ", ".join(
        f'"{name}"::VARCHAR AS "{name}"' if HUB_STATS[name] == "JSON" else f'"{name}"' for name in HUB_STATS
    )
    with duckdb.connect() as connection:
        source = f"read_json('{lines}', format = 'newline_delimited', columns = {HUB_STATS})"
        connection.execute(f"COPY (SELECT {read} FROM {source}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
    return file


HUB_STATS = {
    **dict.fromkeys(["_id", "id", "modelId", "sha", "gated", "library_name", "pipeline_tag"], "VARCHAR"),
    **dict.fromkeys(["createdAt", "lastModified"], "TIMESTAMP"),
    **dict.fromkeys(["private", "disabled"], "BOOLEAN"),
    **dict.fromkeys(["downloads", "likes", "usedStorage"], "BIGINT"),
    **dict.fromkeys(["cardData", "config", "gguf", "safetensors", "model-index"], "JSON"),
    **dict.fromkeys(["tags", "spaces"], "VARCHAR[]"),
    "siblings": "STRUCT(rfilename VARCHAR)[]",
}


def now() -> datetime:
    """Give the time."""
    return datetime.now(UTC)


class Stages:
    """Takes the time of a run's stages: keeping pages, turning them into rows, and the commits beside both."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.keeping = 0.0
        self.committing = 0.0

    def kept(self, run: Run, answers: Iterator[Answer]) -> Iterator[tuple[Answer, None]]:
        """Keep each answer as a crawl does."""
        for place, answer in enumerate(answers):
            began = time.perf_counter()
            keep(run.folder, f"{place:06d}", [answer])
            self.keeping += time.perf_counter() - began
            yield answer, None

    def timing(self, lake: Lake) -> Lake:
        """Give a lake whose writes are timed."""
        stages = self

        class Timed(Lake):
            @contextmanager
            def write(self, wait: float | None = None) -> Iterator[Any]:
                began = time.perf_counter()
                with super().write(wait) as transaction:
                    yield transaction
                stages.committing += time.perf_counter() - began

        return Timed(lake.path, lake.read_only, lake.wait)

    def seconds(self) -> dict[str, float]:
        """Give the seconds of each stage."""
        total = time.perf_counter() - self.begun
        stages = {"  keep raw pages": self.keeping, "  pages to rows": total - self.keeping}
        return {**stages, "  commits, beside": self.committing}


def parse(pages: list[bytes]) -> None:
    """Parse every page and keep nothing."""
    for page in pages:
        json.loads(page)


def peatmoss(file: Path, pages: list[bytes]) -> None:
    """Do it as PeaTMOSS does: an object a model, a transaction a page, executemany into SQLite."""
    database = sqlite3.connect(file)
    database.executescript("""
        CREATE TABLE model (id INTEGER PRIMARY KEY, context_id TEXT UNIQUE, sha TEXT, author TEXT, task TEXT,
            library TEXT, downloads INTEGER, likes INTEGER, private INTEGER, last_modified TEXT);
        CREATE TABLE tag (model_id INTEGER, name TEXT);
        CREATE TABLE file (model_id INTEGER, path TEXT);
    """)
    first = 0
    for page in pages:
        models = [
            ModelInfo(**{"id": record["modelId"], **record})  # type: ignore[no-untyped-call]  # not annotated there
            for record in json.loads(page)
        ]
        numbered = list(enumerate(models, first))
        database.executemany(
            "INSERT INTO model VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    n,
                    m.id,
                    m.sha,
                    m.author,
                    m.pipeline_tag,
                    m.library_name,
                    m.downloads,
                    m.likes,
                    m.private,
                    str(m.last_modified),
                )
                for n, m in numbered
            ],
        )
        database.executemany("INSERT INTO tag VALUES (?, ?)", [(n, tag) for n, m in numbered for tag in m.tags or ()])
        database.executemany(
            "INSERT INTO file VALUES (?, ?)", [(n, file.rfilename) for n, m in numbered for file in m.siblings or ()]
        )
        database.commit()
        first += len(models)
    database.close()


def timed(work: Any) -> float:
    """Give the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak() -> float:
    """Give the largest memory this process had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
