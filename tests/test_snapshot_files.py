"""Which files are snapshots, of which time, and how they come from a URL."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from miners import snapshot_download, snapshot_lists
from miners.http import HubClient, TooLarge
from miners.mining import mine
from miners.snapshot_files import dated, snapshot_files
from schemas import DataError, HubError, Lake, UsageError, open_lake
from tests.hub import Reply, TestHub
from tests.snapshot_sources import assert_equal, odd_lines, write_lines

RECORD = {"id": "o/m", "pipeline_tag": "t", "tags": ["a"], "likes": 1}


def test_the_time_is_the_date_nearest_to_the_name() -> None:
    assert dated("2024-01-01/models/2025-03-05/models.parquet") == datetime(2025, 3, 5, tzinfo=UTC)
    assert dated("date=2025-03-05/x.parquet") == datetime(2025, 3, 5, tzinfo=UTC)
    assert dated("https://hub.example/a/20250305/models_20250306T0730.parquet") == datetime(
        2025, 3, 6, 7, 30, tzinfo=UTC
    )
    assert dated("12345678901234.jsonl") is None
    assert dated("2025-02-30.jsonl") is None


def test_folders_and_patterns_give_their_files(tmp_path: Path) -> None:
    names = ["a/2025-03-05/models.parquet", "a/b.jsonl.gz", "c.ndjson", "notes.txt", ".hidden.parquet"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in snapshot_files(str(tmp_path))]
    assert found == ["a/2025-03-05/models.parquet", "a/b.jsonl.gz", "c.ndjson"]
    assert len(snapshot_files(f"{tmp_path}/a/*/models.parquet")) == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("2025-03-05.csv", "id,likes", "is no snapshot; expected a file that ends in"),
        ("2025-03-05.jsonl", '{"id": "o/d", "tags": [], "likes": 1, "sdk": "gradio"}', "records of Spaces"),
        ("2025-03-05.jsonl", '{"id": "o/d", "tags": [], "likes": 1, "paperswithcode_id": null}', "records of datasets"),
        ("2025-03-05.jsonl", '{"name": "x"}', "has the columns name; expected model records of the Hugging Face Hub"),
        ("2025-03-05.jsonl", "", "has the columns nothing; expected model records"),
        ("2025-03-05.jsonl", "no JSON at all", "has the columns nothing; expected model records"),
        ("models.jsonl", json.dumps(RECORD), "nothing says when .* was observed: give --observed-at"),
        ("2099-03-05.jsonl", json.dumps(RECORD), "which is in the future"),
    ],
)
def test_what_is_no_snapshot_is_refused_in_one_line(
    lake: Lake, tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=says) as refused:
        mine(lake, "snapshot", source=tmp_path / name)
    assert "\n" not in str(refused.value)
    assert lake.sql("SELECT count(*) FROM model").item() == 0
    assert not any((lake.raw / "snapshot").glob("*")) if (lake.raw / "snapshot").exists() else True


def test_a_wrong_time_or_place_is_refused(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="observed_at is 'Tuesday', expected a time like"):
        mine(lake, "snapshot", source=write_lines(tmp_path / "m.jsonl", [RECORD]), observed_at="Tuesday")
    with pytest.raises(UsageError, match="does not exist"):
        mine(lake, "snapshot", source=tmp_path / "nothing.parquet")
    with pytest.raises(UsageError, match="holds no snapshot"):
        mine(lake, "snapshot", source=lake.path / "*.nothing")


@pytest.mark.parametrize("spoil", ["cut", "text", "middle"])
def test_a_damaged_parquet_file_leaves_nothing(lake: Lake, tmp_path: Path, spoil: str) -> None:
    file = tmp_path / "2025-03-05.parquet"
    frame = pl.DataFrame([{**RECORD, "id": f"o/m{number}", "sha": f"{number:040x}"} for number in range(5000)])
    frame.write_parquet(file)
    body = file.read_bytes()
    half = len(body) // 2
    spoilt = {"cut": body[:half], "text": b"hello", "middle": body[:1000] + b"\xff" * 9000 + body[10_000:]}
    file.write_bytes(spoilt[spoil])
    with pytest.raises(DataError, match="cannot be read as a snapshot"):
        mine(lake, "snapshot", source=file)
    assert lake.sql("SELECT count(*) FROM observation").item() == 0


@pytest.mark.parametrize("name", ["2025-03-05.jsonl.gz", "2025-03-05.jsonl.zst"])
def test_a_damaged_archive_leaves_nothing(lake: Lake, tmp_path: Path, name: str) -> None:
    whole = gzip.compress(b"".join(json.dumps({**RECORD, "id": f"o/m{n}"}).encode() + b"\n" for n in range(3000)))
    (tmp_path / name).write_bytes(whole[:2000])
    with pytest.raises(DataError, match="cannot be read as a snapshot"):
        mine(lake, "snapshot", source=tmp_path / name)
    assert lake.sql("FROM model").is_empty()


@pytest.mark.parametrize("shape", ["a list", "over lines", "a list a line", "packed", "cut off", "with more behind"])
def test_the_lists_that_the_api_answers_are_read(lake: Lake, tmp_path: Path, shape: str) -> None:
    odd = [{**RECORD, "id": f"o/m{n}", "location": 'a, b] "c"\n\u2028é'} for n in range(4)]
    text, name = json.dumps(odd), "2025-03-05.json"
    if shape == "over lines":
        text = "\ufeff\n" + json.dumps(odd, indent=2, ensure_ascii=False)
    elif shape == "a list a line":
        text = "\n".join(json.dumps([one]) for one in odd) + "\n[]\n"
    elif shape == "cut off":
        text = text[:-9]
    elif shape == "with more behind":
        text += ' and "more"'
    body = text.encode()
    (tmp_path / (name + ".gz" * (shape == "packed"))).write_bytes(gzip.compress(body) if shape == "packed" else body)
    crawl = mine(lake, "snapshot", source=tmp_path)
    broken = {"cut off": (4, 3, 1), "with more behind": (5, 4, 1)}.get(shape, (4, 4, 0))
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == broken
    assert set(lake.sql("SELECT location FROM model")["location"]) == {odd[0]["location"]}
    assert not [file for file in (lake.raw / "snapshot").iterdir() if file.is_file()]


def test_a_list_that_memory_may_not_hold_is_refused(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_lists, "LARGEST_LIST", 2000)
    (tmp_path / "2025-03-05.json").write_text(json.dumps([RECORD] * 100))
    with pytest.raises(UsageError, match=r"more than 2000 bytes, expected one record a line; jq -c '\.\[\]' 2025"):
        mine(lake, "snapshot", source=tmp_path)


def test_one_file_of_many_that_cannot_be_read_keeps_nobody_from_reading_the_others(lake: Lake, tmp_path: Path) -> None:
    write_lines(tmp_path / "2025-03-05.jsonl", [RECORD])
    write_lines(tmp_path / "2025-03-19.jsonl", [RECORD])
    (tmp_path / "2025-03-12.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "datasets-2025-03-05.jsonl").write_text('{"id": "o/d", "tags": [], "likes": 1, "mainSize": 3}')
    write_lines(tmp_path / "2099-01-01.jsonl", [RECORD])
    crawl = mine(lake, "snapshot", source=tmp_path)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures, crawl.state) == (5, 2, 3, "finished")
    assert lake.sql("SELECT count(*) FROM observation").item() == 2
    said = lake.sql("SELECT subject, stage, reason FROM failure ORDER BY ALL").rows()
    assert [(Path(subject).name, stage) for subject, stage, _ in said] == [
        ("2025-03-12.parquet", "listing"),
        ("2099-01-01.jsonl", "listing"),
        ("datasets-2025-03-05.jsonl", "listing"),
    ]
    assert ["cannot be read" in said[0][2], "in the future" in said[1][2], "of datasets" in said[2][2]] == [True] * 3


def test_where_no_file_of_many_can_be_read_that_is_an_error(lake: Lake, tmp_path: Path) -> None:
    for name in ("models.jsonl", "more.jsonl"):
        write_lines(tmp_path / name, [RECORD])
    with pytest.raises(UsageError, match=r"nothing says when .*models\.jsonl was observed"):
        mine(lake, "snapshot", source=tmp_path)


def test_names_that_duckdb_would_take_for_patterns_are_files(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "odd [name] *?'s"
    mine(lake, "snapshot", source=write_lines(folder / "2025-03-05 [x].jsonl", [RECORD]))
    assert lake.sql("SELECT count(*) FROM model").item() == 1


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestHub, Path]]:
    """A hub whose repository owner/archive holds a snapshot in models/2025-03-05."""
    folder = tmp_path / "repositories"
    file = folder / "owner" / "archive" / "models" / "2025-03-05" / "models.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(odd_lines(3, 2000, 0.01)), encoding="utf-8")
    with TestHub([{"id": "owner/archive"}], folder) as hub:
        yield hub, file


ADDRESS = "/owner/archive/resolve/main/models/2025-03-05/models.jsonl"


def fetched(lake: Lake, hub: TestHub, **options: Any) -> int:
    with HubClient(hub.url, sleep=lambda seconds: None, attempts=2) as client:
        return mine(lake, "snapshot", source=hub.url + ADDRESS, client=client, **options).rows_seen


def test_a_url_gives_what_the_file_gives(
    lake: Lake, tmp_path: Path, served: tuple[TestHub, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, file = served
    monkeypatch.setattr(snapshot_download, "PIECE", 100_000)
    fetched(lake, hub)
    other = open_lake(tmp_path / "other")
    mine(other, "snapshot", source=file)
    assert_equal(other, lake)
    asked = len(hub.requests(ADDRESS))
    assert asked == 1 + -(-file.stat().st_size // 100_000)
    fetched(lake, hub)
    assert len(hub.requests(ADDRESS)) == asked + 1, "what is there is not fetched again"


def test_a_download_that_was_stopped_goes_on_where_it_was(
    lake: Lake, served: tuple[TestHub, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, file = served
    monkeypatch.setattr(snapshot_download, "PIECE", 100_000)
    pieces = -(-file.stat().st_size // 100_000)
    stopped: list[int] = []

    def stop(done: int, total: int | None, what: str) -> None:
        if what == "bytes" and done >= 200_000 and not stopped:
            stopped.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(lake, hub, progress=stop)
    before = len(hub.requests(ADDRESS))
    assert before == 3
    assert fetched(lake, hub) == len([line for line in file.read_text().splitlines() if line.strip()])
    assert len(hub.requests(ADDRESS)) == before + 1 + pieces - 2


def test_another_version_of_the_file_is_fetched_anew(lake: Lake, served: tuple[TestHub, Path]) -> None:
    hub, file = served
    fetched(lake, hub)
    write_lines(file, [RECORD])
    assert fetched(lake, hub) == 1


def test_what_is_too_large_or_comes_without_ranges_is_refused(lake: Lake, served: tuple[TestHub, Path]) -> None:
    hub, _ = served
    with pytest.raises(TooLarge, match="at most 1000 are accepted; see --download-limit"):
        fetched(lake, hub, download_limit=1000)
    hub.misbehave(ADDRESS, Reply(200, {"Content-Type": "text/plain"}, b"no ranges here"))
    with pytest.raises(HubError, match="gives no parts of files; fetch it yourself"):
        fetched(lake, hub)


def test_duckdb_never_reaches_for_the_network(lake: Lake, served: tuple[TestHub, Path]) -> None:
    hub, _ = served
    with pytest.raises(UsageError, match="does not exist"):
        mine(lake, "snapshot", source=f"s3://{hub.url}/2025-03-05.parquet")
    with duckdb.connect() as connection:
        loaded = connection.execute("SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'httpfs'").fetchone()
    assert loaded == (False,)
    fetched(lake, hub)
    assert all("duckdb" not in str(request.headers).lower() for request in hub.requests())
