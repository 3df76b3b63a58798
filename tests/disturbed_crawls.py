"""Crawls of a test hub by real processes that are killed on the way, and what their lakes hold in the end."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import polars as pl

from schemas import Lake
from tests.conftest import ROOT
from tests.hub import TestHub

PROGRAM = """
import itertools, json, sys
from miners.mining import mine
from schemas import open_lake
ticking = itertools.count(step=10.0)  # every change is due for a commit
options = json.loads(sys.argv[3])
client = None
mine(open_lake(sys.argv[1]), "huggingface", endpoint=sys.argv[2], clock=lambda: next(ticking), **options)
"""
TIMES = {"crawl_id", "observed_at", "first_seen", "last_seen", "fetched_at", "happened_at", "deleted_at"}


def start(lake: Lake, hub: TestHub, **options: Any) -> "subprocess.Popen[bytes]":
    """Mine in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, str(lake.path), hub.url, json.dumps(options)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def run(lake: Lake, hub: TestHub, **options: Any) -> None:
    """Mine in a process of its own, to its end."""
    with start(lake, hub, **options) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait() == 0, said.decode()


def killed(lake: Lake, hub: TestHub, chance: random.Random, most_requests: int, **options: Any) -> bool:
    """Mine until a random request and a random moment after it; say whether the process was still at work then."""
    begun = len(hub.log)
    wanted, later = chance.randrange(1, most_requests), chance.random() * 0.1
    with start(lake, hub, **options) as process:
        deadline = time.monotonic() + 120
        while len(hub.log) - begun < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(later)
        was_at_work = process.poll() is None
        process.kill()
    return was_at_work


def contents(lake: Lake) -> Mapping[str, pl.DataFrame]:
    """All rows of all tables that a crawl fills, without times of this machine and names of runs."""
    tables = lake.sql(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' AND table_name NOT IN ('crawl', 'migration')"
    )
    return {table: _rows(lake, table) for table in tables["table_name"]}


def _rows(lake: Lake, table: str) -> pl.DataFrame:
    columns = lake.sql(f"SELECT * FROM {table} LIMIT 0").columns
    kept = ", ".join(f'"{name}"' for name in columns if name not in TIMES)
    return lake.sql(f"SELECT {kept} FROM {table} ORDER BY ALL")


def assert_equal(found: Lake, expected: Lake) -> None:
    """Both lakes hold the same rows, and one crawl each that is finished and counts the same."""
    ours, theirs = contents(found), contents(expected)
    assert ours.keys() == theirs.keys()
    for table in ours:
        assert ours[table].equals(theirs[table]), f"{table}: {ours[table].height} and {theirs[table].height} rows"
    counts = (
        "SELECT state, cursor, listed_at IS NOT NULL, rows_seen, rows_stored, failures FROM crawl ORDER BY started_at"
    )
    assert found.sql(counts).rows() == expected.sql(counts).rows()
