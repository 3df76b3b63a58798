"""Several real processes on one lake: writers, readers in a loop, and a notebook left open."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from schemas import Lake, LakeBusy, open_lake
from tests.conftest import ROOT

NOTEBOOK = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
print("open", flush=True)
time.sleep(float(sys.argv[3]))
connection.close()
"""

READER = """
import sys, time
from schemas import LakeBusy, open_lake
lake = open_lake(sys.argv[1], read_only=True, wait=float(sys.argv[2]))
print("ready", flush=True)
while True:
    try:
        print("rows", lake.sql("SELECT count(*) AS n FROM tag")["n"][0], flush=True)
    except LakeBusy as error:
        print("busy", error, flush=True)
"""

WRITER = """
import sys
import polars as pl
from schemas import open_lake
lake = open_lake(sys.argv[1], wait=60)
for number in range(int(sys.argv[2])):
    with lake.write() as transaction:
        transaction.append("tag", pl.DataFrame({"model_id": [f"{sys.argv[3]}-{number}"] * 10}))
"""


@contextmanager
def process(program: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as started:
        try:
            yield started
        finally:
            started.kill()


def first_line(started: "subprocess.Popen[str]") -> str:
    assert started.stdout
    return started.stdout.readline().strip()


@pytest.mark.parametrize("mode", ["read", "write"])
def test_whoever_holds_the_lake_is_named_after_the_waiting_time(lake: Lake, mode: str) -> None:
    with process(NOTEBOOK, str(lake.database), mode, "60") as notebook:
        assert first_line(notebook) == "open"
        begin = time.monotonic()
        with (
            pytest.raises(LakeBusy, match=rf"held by process {notebook.pid} \(.*python.*waited 1 s"),
            lake.write(wait=1),
        ):
            pass
        assert 1 <= time.monotonic() - begin < 5
        patient = open_lake(lake.path, read_only=True, wait=1) if mode == "read" else None
        if patient:
            assert patient.sql("SELECT 1 AS one")["one"].to_list() == [1]
        else:
            with pytest.raises(LakeBusy, match=f"held by process {notebook.pid}"):
                open_lake(lake.path, read_only=True, wait=1)


def test_a_connection_of_the_same_process_is_told_apart(lake: Lake) -> None:
    import duckdb

    with duckdb.connect(str(lake.database), read_only=True):
        with pytest.raises(LakeBusy, match="this process itself holds"):
            lake.sql("SELECT 1")
        with pytest.raises(LakeBusy, match="this process itself holds"), lake.write():
            pass
    assert lake.sql("SELECT 1 AS one")["one"].to_list() == [1]


def test_writers_and_readers_in_loops_all_get_their_turn(lake: Lake) -> None:
    with process(READER, str(lake.path), "30") as one, process(READER, str(lake.path), "30") as two:
        assert first_line(one) == first_line(two) == "ready"
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(lake.path), "15", name], cwd=ROOT) for name in "ab"
        ]
        assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
        for reader in (one, two):
            reader.terminate()
            answers = reader.communicate()[0].splitlines()
            counts = [int(answer.split()[1]) for answer in answers if answer.startswith("rows ")]
            assert len(counts) >= 5
            assert counts == sorted(counts)
            assert all(count % 10 == 0 for count in counts), "a reader saw half a transaction"
            assert not [answer for answer in answers if answer.startswith("busy")]
    assert lake.sql("SELECT count(*) AS n, count(DISTINCT model_id) AS names FROM tag").row(0) == (300, 30)


def test_threads_of_one_process_take_turns(lake: Lake) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> int:
        with lake.write() as transaction:
            transaction.append("tag", pl.DataFrame({"model_id": [f"{number}"]}))
        return int(lake.sql("SELECT count(*) AS n FROM tag")["n"][0])

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(work, range(16)))
    assert max(counts) == 16


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_build_ends_whole_beside_a_reader_and_a_notebook_left_open(tmp_path: Path, mode: str) -> None:
    lake = open_lake(tmp_path / "lake")
    build = [
        sys.executable,
        "-m",
        "weightlake",
        "zoo",
        "build",
        "digits-tiny",
        "--lake",
        str(lake.path),
        "--workers",
        "1",
    ]
    with process(READER, str(lake.path), "2") as reader, process(NOTEBOOK, str(lake.database), mode, "10") as notebook:
        assert first_line(notebook) == "open"
        held_at = time.monotonic()
        done = subprocess.run(build, capture_output=True, text=True, cwd=ROOT, env=os.environ, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - held_at >= 9, "the build cannot have registered while the file was held"
        reader.terminate()
        answers = reader.communicate()[0].splitlines()
    assert {answer.split()[0] for answer in answers} <= {"ready", "rows", "busy"}
    assert all(f"held by process {notebook.pid}" in answer for answer in answers if answer.startswith("busy"))
    states = lake.sql("SELECT state, members, (SELECT count(*) FROM member) AS stored FROM population").rows()
    assert states == [("complete", 8, 8)]
