"""How many records a second go from raw pages to committed rows on two cores, beside ways of doing less or worse.

    python benchmarks/mining.py [--records 100000] [--data ../shared/data]

The pages are the data set's 15,727 real records of the Hugging Face Hub, repeated under new names. weightlake keeps
each page (Parquet, zstd), turns it into rows of nine tables and commits them in a thread beside that. The floor is
`json.loads` of the same bytes. The peer does what PeaTMOSS does: huggingface_hub's ModelInfo objects, written to
SQLite with executemany, one table for models and one each for tags and files.
"""

import argparse
import gzip
import json
import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is loaded
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))

from huggingface_hub.hf_api import ModelInfo

from miners import listing
from miners.crawl import Run, silent
from miners.http import Answer
from miners.raw import keep
from schemas import Lake, open_lake

PAGE = 1000
HUB = "https://hub.example"


def main() -> None:
    """Run all three on the same pages and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"the records are not at {given.data}; name their folder with --data")
    pages = repeated(given.data / "hubs" / "huggingface", given.records)
    print(f"{given.records:,} records, {sum(map(len, pages)) / 1e6:.0f} MB of JSON in {len(pages)} pages, two cores")
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        stages = weightlake(Path(folder) / "lake", pages)
        print(f"peak memory {peak():.0f} MB, {peak() - before:.0f} MB of it above the pages themselves")
        floor = timed(lambda: parse(pages))
        peer = timed(lambda: peatmoss(Path(folder) / "peer.sqlite", pages))
    total = stages["  keep raw pages"] + stages["  pages to rows"]
    for name, seconds in {**stages, "weightlake": total, "json.loads": floor, "ModelInfo + SQLite": peer}.items():
        print(f"{name:24}{seconds:8.2f} s{given.records / seconds:12,.0f} records/s")
    print(
        f"weightlake is {peer / total:.1f} times as fast as ModelInfo + SQLite, and takes {total / floor:.1f} times "
        "as long as json.loads alone"
    )


def repeated(folder: Path, count: int) -> list[bytes]:
    """Give pages of real records; from the second round on each record has a name of its own."""
    lines = [
        line
        for name in ("models_2022", "models_2025")
        for line in gzip.decompress((folder / f"{name}.jsonl.gz").read_bytes()).splitlines()
    ]
    records = (renamed(lines[place % len(lines)], place // len(lines)) for place in range(count))
    found = list(records)
    return [b"[" + b",".join(found[begin : begin + PAGE]) + b"]" for begin in range(0, count, PAGE)]


def renamed(line: bytes, number: int) -> bytes:
    """Give a record another name, the first time its own."""
    if not number:
        return line
    record = json.loads(line)
    for key in ("id", "modelId"):
        if key in record:
            record[key] = f"{record[key]}-again-{number}"
    return json.dumps(record, ensure_ascii=False).encode()


def weightlake(folder: Path, pages: list[bytes]) -> dict[str, float]:
    """Bring pages into a new lake; seconds by stage."""
    clock = Stages()
    with open_lake(folder) as lake, Run(clock.timing(lake), "huggingface", {}, HUB, now, time.monotonic) as run:
        answers = (Answer(f"{HUB}/{place}", 200, {}, page, now()) for place, page in enumerate(pages))
        listing.Listing(run, None, silent).read(clock.kept(run, answers))
    return clock.seconds()


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
