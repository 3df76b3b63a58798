"""Snapshots of several times become a time series, in whatever order they come."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from miners.mining import mine
from schemas import Lake, open_lake
from schemas.doctor import examine
from tests.conftest import ROOT
from tests.snapshot_sources import assert_equal, contents, odd_lines, write_hub_stats, write_lines

FIRST, SECOND, THIRD = (datetime(2025, 3, day, tzinfo=UTC) for day in (5, 12, 19))
PLAIN: dict[str, Any] = {"id": "o/m", "sha": "a" * 40, "pipeline_tag": "t", "gated": False, "tags": ["license:mit"]}
WEEKS: list[list[dict[str, Any]]] = [
    [
        PLAIN | {"downloads": 1, "likes": 1, "siblings": [{"rfilename": "old.bin"}], "usedStorage": 5},
        PLAIN | {"id": "o/gone", "downloads": 7},
    ],
    [PLAIN | {"downloads": 2, "sha": "b" * 40, "usedStorage": 6, "config": {"architectures": ["A"]}}],
    [
        PLAIN | {"downloads": 3, "gated": "manual", "tags": ["license:apache-2.0", "new"], "sha": None},
        PLAIN | {"id": "o/new", "downloads": 9},
    ],
]


@pytest.fixture
def weeks(tmp_path: Path) -> list[Path]:
    """Three weekly snapshots, laid out as the archive of the Hub does."""
    dates = ("2025-03-05", "2025-03-12", "2025-03-19")
    lines = [write_lines(tmp_path / f"{date}.jsonl", records) for date, records in zip(dates, WEEKS, strict=True)]
    folder = tmp_path / "archive" / "models"
    found = [write_hub_stats(file, folder / file.stem / "models.parquet") for file in lines]
    for file in lines:
        file.unlink()
    return found


def model(lake: Lake, name: str = "o/m") -> dict[str, Any]:
    return lake.sql("SELECT * FROM model WHERE model_id = 'huggingface:' || $name", name=name).row(0, named=True)


def test_a_folder_of_weeks_becomes_a_time_series(lake: Lake, weeks: list[Path]) -> None:
    crawl = mine(lake, "snapshot", source=weeks[0].parents[2])
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (5, 5, 0)
    series = lake.sql("SELECT observed_at, downloads FROM observation WHERE model_id = 'huggingface:o/m' ORDER BY 1")
    assert series.rows() == [(FIRST, 1), (SECOND, 2), (THIRD, 3)]
    found = model(lake)
    assert (found["downloads"], found["license"], found["license_spdx"]) == (3, "apache-2.0", "Apache-2.0")
    assert (found["first_seen"], found["last_seen"], found["likes"], found["stored_bytes"]) == (FIRST, THIRD, 1, 6)
    assert (found["sha"], found["architecture"], found["files"]) == ("b" * 40, "A", 1)
    assert lake.sql("SELECT tag FROM tag WHERE model_id = 'huggingface:o/m' ORDER BY 1")["tag"].to_list() == [
        "apache-2.0",
        "new",
    ]
    assert lake.sql("SELECT path FROM file")["path"].to_list() == ["old.bin"]
    events = lake.sql("SELECT kind, before, after, observed_at FROM event ORDER BY kind").rows()
    assert events == [("gated", "no", "manual", THIRD), ("license", "mit", "apache-2.0", THIRD)]
    assert examine(lake).is_empty()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_does_not_matter(tmp_path: Path, lake: Lake, weeks: list[Path], order: tuple[int, ...]) -> None:
    other = open_lake(tmp_path / "other")
    for place in range(3):
        mine(other, "snapshot", source=weeks[place])
    for place in order:
        mine(lake, "snapshot", source=weeks[place])
    one, two = contents(other), contents(lake)
    for table in set(one) - {"event"}:
        assert one[table].equals(two[table]), f"{table} differs"
    assert examine(lake).is_empty()


def test_the_same_snapshot_again_adds_nothing(lake: Lake, tmp_path: Path, weeks: list[Path]) -> None:
    odd = tmp_path / "2025-03-12.jsonl"
    odd.write_text("\n".join(odd_lines(5, 400, 0.02)), encoding="utf-8")
    for file in (*weeks, odd):
        mine(lake, "snapshot", source=file)
    before = contents(lake)
    for file in (odd, *reversed(weeks)):
        mine(lake, "snapshot", source=file)
    for table, frame in contents(lake).items():
        assert frame.equals(before[table]), f"{table} differs"
    assert lake.sql("SELECT count(*) FROM crawl WHERE hub = 'snapshot'").item() == 8
    assert examine(lake).is_empty()


def test_a_column_of_times_makes_a_series_of_one_file(lake: Lake, tmp_path: Path, weeks: list[Path]) -> None:
    times = ("2025-03-05T00:00:00Z", "2025-03-12", "2025-03-19 00:00:00")
    records = [record | {"observed_at": at} for at, week in zip(times, WEEKS, strict=True) for record in week]
    records.append(records[0] | {"likes": "many", "id": "o/odd"})
    mine(lake, "snapshot", source=write_lines(tmp_path / "all.jsonl", records))
    other = open_lake(tmp_path / "other")
    write_lines(tmp_path / "2025-03-05.jsonl", [*WEEKS[0], PLAIN | records[-1]])
    for file in (tmp_path / "2025-03-05.jsonl", *weeks[1:]):
        mine(other, "snapshot", source=file)
    assert_equal(other, lake)


def test_of_a_model_that_is_there_twice_the_last_record_counts(lake: Lake, tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"id": "o/m", "likes": likes, "tags": []} for likes in (1, "odd", 3)]
    file = write_lines(tmp_path / "2025-03-05.jsonl", [*records, {"id": "o/n", "likes": 4}, {"id": "o/n", "likes": []}])
    file.write_text(file.read_text() + '\n{"id": "o/n", "pipeline_tag": "t", "likes": {}}')
    crawl = mine(lake, "snapshot", source=file)
    assert (crawl.rows_seen, crawl.rows_stored) == (6, 6)
    assert dict(lake.sql("SELECT model_id, likes FROM model").iter_rows()) == {
        "huggingface:o/m": 3,
        "huggingface:o/n": None,
    }
    assert lake.sql("SELECT subject FROM failure")["subject"].to_list() == ["huggingface:o/n"]


def test_an_old_snapshot_brings_nothing_back_to_life(lake: Lake, weeks: list[Path]) -> None:
    mine(lake, "snapshot", source=weeks[0])
    with lake.write() as transaction:
        transaction.sql("UPDATE model SET deleted_at = $at WHERE model_id = 'huggingface:o/m'", at=THIRD)
    mine(lake, "snapshot", source=weeks[1])
    assert (model(lake)["deleted_at"], model(lake)["downloads"]) == (THIRD, 2)
    mine(lake, "snapshot", source=weeks[2], observed_at="2025-03-26")
    assert model(lake)["deleted_at"] is None


KILLED = """
import sys
from miners.mining import mine
from schemas import open_lake
print("ready", flush=True)
mine(open_lake(sys.argv[1]), "snapshot", source=sys.argv[2])
"""


def test_a_run_that_is_killed_leaves_nothing_half_and_can_be_run_again(lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "2025-03-05.jsonl"
    file.write_text("\n".join(odd_lines(9, 20_000, 0.01)), encoding="utf-8")
    undisturbed = open_lake(tmp_path / "undisturbed")
    began = time.monotonic()
    mine(undisturbed, "snapshot", source=file)
    took = time.monotonic() - began
    rows = undisturbed.sql("SELECT count(*) FROM model").item()
    for share in (0.2, 0.5, 0.8, 0.95, 1.05):
        program = [sys.executable, "-c", KILLED, str(lake.path), str(file)]
        with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE) as started:
            assert started.stdout is not None
            started.stdout.readline()
            time.sleep(share * took)
            os.kill(started.pid, signal.SIGKILL)
        assert lake.sql("SELECT count(*) FROM model").item() in (0, rows)
    mine(lake, "snapshot", source=file)
    assert_equal(undisturbed, lake)
    assert set(examine(lake)["check"]) <= {"files"}, "but for the file of a killed run, which the doctor names"


def test_what_a_snapshot_lacks_is_written_down(lake: Lake, weeks: list[Path]) -> None:
    lines = pl.DataFrame({"id": ["o/x"], "tags": [["a"]], "likes": [1], "pipeline_tag": ["t"], "cardData": ["{}"]})
    file = weeks[0].parent / "2025-04-01.parquet"
    lines.write_parquet(file)
    mine(lake, "snapshot", source=file)
    [(layout, missing)] = lake.sql("SELECT query ->> 'layout', query ->> 'missing' FROM crawl").rows()
    assert layout == "hub-stats"
    assert "sha" in missing
    assert "likes" not in missing


def test_what_becomes_known_is_no_event_and_what_changes_is(lake: Lake, tmp_path: Path) -> None:
    """A hub says of every model whether it is gated, private or disabled: a record without that has left it out."""
    bare = {"id": "o/m", "tags": [], "downloads": 1, "siblings": []}
    known = bare | {"gated": False, "private": False, "disabled": False, "pipeline_tag": "t"}
    for week, record in enumerate([bare, known, known | {"gated": "manual"}]):
        file = write_lines(tmp_path / f"2025-03-{10 + week}.jsonl", [record])
        mine(lake, "snapshot", source=file)
    assert lake.sql("SELECT kind, before, after FROM event ORDER BY ALL").rows() == [
        ("gated", "no", "manual"),
        ("task", None, "t"),
    ]
