"""Records come out of a snapshot as they come out of a listing, row for row, failures too."""

import gzip
import json
import os
from datetime import datetime
from itertools import count
from pathlib import Path

import duckdb
import pytest

from miners.mining import mine
from schemas import Lake, open_lake
from schemas.doctor import examine
from schemas.errors import DataError
from tests.snapshot_sources import AT, assert_equal, mine_by_pages, odd_lines, write_hub_stats, write_lines


@pytest.fixture(scope="session")
def real_lines(data_folder: Path) -> list[bytes]:
    folder = data_folder / "hubs" / "huggingface"
    names = ("models_2022.jsonl.gz", "models_2025.jsonl.gz")
    return [line for name in names for line in gzip.decompress((folder / name).read_bytes()).splitlines()]


@pytest.fixture(scope="session")
def by_pages(real_lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("by pages") / "lake")
    assert mine_by_pages(lake, real_lines) == (15_727, 15_727)
    return lake


@pytest.mark.data
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "ndjson.zst", "parquet"])
def test_the_real_records_come_out_as_from_a_listing(
    lake: Lake, by_pages: Lake, real_lines: list[bytes], tmp_path: Path, ending: str
) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(b"\n".join(real_lines))
    file = tmp_path / f"models.{ending}"
    if ending == "parquet":
        write_hub_stats(plain, file)
    elif ending.endswith("gz"):
        file.write_bytes(gzip.compress(plain.read_bytes(), 1))
    elif ending.endswith("zst"):
        with duckdb.connect() as connection:
            plainly = "header = false, delim = '\x01', quote = '', escape = ''"
            lines = f"read_csv('{plain}', columns = {{'line': 'VARCHAR'}}, {plainly})"
            target = f"'{file}' (FORMAT csv, COMPRESSION zstd, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01')"
            connection.execute(f"COPY (SELECT * FROM {lines}) TO {target}")
    else:
        plain.rename(file)
    crawl = mine(lake, "snapshot", source=file, observed_at=AT)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (15_727, 15_727, 0)
    assert_equal(by_pages, lake)
    assert examine(lake).is_empty()


@pytest.mark.parametrize(("seed", "oddity"), [(1, 0.0), (2, 0.003), (3, 0.04)])
def test_odd_records_come_out_as_from_a_listing(lake: Lake, tmp_path: Path, seed: int, oddity: float) -> None:
    lines = odd_lines(seed, 3000, oddity)
    file = tmp_path / "models.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    crawl = mine(lake, "snapshot", source=file, observed_at=AT)
    other = open_lake(tmp_path / "other")
    assert mine_by_pages(other, lines) == (crawl.rows_seen, crawl.rows_stored)
    assert crawl.rows_seen == crawl.rows_stored + crawl.failures
    assert crawl.failures > 0
    assert_equal(other, lake)
    assert other.sql("SELECT count(*) FROM lineage").item() > 100


def test_most_ordinary_records_need_no_page_path(tmp_path: Path) -> None:
    from miners.snapshot_records import shaped

    card = {"license": "mit", "language": ["en", "de"], "datasets": "d", "base_model": ["x/y"], "tags": ["t"]}
    ordinary = {
        **{"id": "o/m", "sha": "a" * 40, "likes": 3, "downloads": 5, "gated": False, "private": False},
        **{"createdAt": "2024-11-26T08:12:11.000Z", "tags": ["license:mit", "en", "base_model:finetune:x/y"]},
        **{"cardData": card, "config": {"architectures": ["A"], "model_type": "a"}, "spaces": ["s/one"]},
        **{"safetensors": {"parameters": {"F32": 5}, "total": 5}, "trendingScore": 1.5, "_id": "6"},
        **{"siblings": [{"rfilename": "a"}, {"rfilename": "b/c.bin"}], "model-index": None, "usedStorage": 7},
    }
    lines = write_lines(tmp_path / "m.jsonl", [ordinary])
    for file in (lines, write_hub_stats(lines, tmp_path / "m.parquet")):
        with shaped(file, tmp_path / "beside", use_times=True) as found:
            assert found.rows == 1
            assert found.parts[0].unfit == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("siblings", "['a.bin', 'b']::VARCHAR[]"), ("siblings", '\'[{"rfilename":"a.bin"},{"rfilename":"b"}]\'')),
        *(("tags", '\'["en", "license:mit"]\''), ("downloads", "7::DOUBLE"), ("downloads", "7::UTINYINT")),
        *(("config", "{'architectures': ['A'], 'model_type': NULL}"), ("config", '\'{"architectures": ["A"]}\'')),
        *(("createdAt", "'2024-11-26T08:12:11.000Z'"), ("createdAt", "TIMESTAMPTZ '2024-11-26 08:12:11+00'")),
        *(("createdAt", "TIMESTAMP_NS '2024-11-26 08:12:11'"), ("gated", "false"), ("gated", "'False'")),
        *(("likes", "3.0::DOUBLE"), ("trendingScore", "2::BIGINT"), ("cardData", "MAP {'license': 'mit'}")),
    ],
)
def test_columns_may_have_other_types(lake: Lake, tmp_path: Path, column: str, value: str) -> None:
    plain = {
        "siblings": [{"rfilename": "a.bin"}, {"rfilename": "b"}],
        **{"tags": ["en", "license:mit"], "downloads": 7, "config": {"architectures": ["A"]}, "likes": 3},
        **{"createdAt": "2024-11-26T08:12:11.000Z", "gated": False, "trendingScore": 2, "cardData": {"license": "mit"}},
    }
    record = {"id": "o/m1", "sha": "a" * 40, "pipeline_tag": "t", "tags": [], "likes": 1, column: plain[column]}
    columns = {"id": "'o/m1'", "sha": f"'{'a' * 40}'", "pipeline_tag": "'t'", "tags": "[]::VARCHAR[]", "likes": "1"}
    columns[column] = value
    file = tmp_path / "models.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        named = ", ".join(f'{said} AS "{name}"' for name, said in columns.items())
        connection.execute(f"COPY (SELECT {named}) TO '{file}' (FORMAT parquet)")
    mine(lake, "snapshot", source=file, observed_at=AT)
    other = open_lake(tmp_path / "other")
    mine_by_pages(other, [json.dumps(record)])
    assert_equal(other, lake)


@pytest.mark.parametrize("paths", [["b", "a"], ["a", "b", "a"], ["a", None, "b"], [None], [None, "a"], [], ["a"]])
def test_files_come_out_as_from_a_listing_in_whatever_order(
    lake: Lake, tmp_path: Path, paths: list[str | None]
) -> None:
    said = ", ".join("NULL" if path is None else f"{{'rfilename': '{path}'}}" for path in paths)
    file = tmp_path / "models.parquet"
    with duckdb.connect() as connection:
        siblings = f"[{said}]::STRUCT(rfilename VARCHAR)[] AS siblings"
        connection.execute(f"COPY (SELECT 'o/m1' AS id, ['x'] AS tags, 1 AS likes, {siblings}) TO '{file}'")
    mine(lake, "snapshot", source=file, observed_at=AT)
    other = open_lake(tmp_path / "other")
    listed = [None if path is None else {"rfilename": path} for path in paths]
    mine_by_pages(other, [json.dumps({"id": "o/m1", "tags": ["x"], "likes": 1, "siblings": listed})])
    assert_equal(other, lake)


def test_a_file_that_is_changed_meanwhile_is_not_stored(lake: Lake, tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "m.jsonl", [{"id": f"o/m{n}", "tags": ["x"], "likes": 1} for n in range(9)])
    file = write_hub_stats(lines, tmp_path / "2025-06-01.parquet")
    asked = count()

    def now() -> datetime:
        if next(asked) == 2:  # its records have been looked at by then, and none of them is stored
            os.utime(file, (1, 1))
        return AT

    with pytest.raises(DataError, match="was changed while it was read"):
        mine(lake, "snapshot", source=file, observed_at=AT, now=now)
    assert lake.sql("FROM model").is_empty()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("likes", "'many'"), ("likes", "1.5::DOUBLE"), ("sha", "'../etc'"), ("gated", "'sometimes'")),
        *(
            ("cardData", "'no JSON'"),
            ("config", "'[1]'"),
            ("tags", "7"),
            ("private", "'yes'"),
            ("likes", "2::HUGEINT**70"),
        ),
    ],
)
def test_what_a_column_cannot_mean_is_null_and_named(lake: Lake, tmp_path: Path, column: str, value: str) -> None:
    columns = {"id": "'o/m1'", "pipeline_tag": "'t'", "tags": "['x']", "likes": "1", column: value}
    file = tmp_path / "models.parquet"
    with duckdb.connect() as connection:
        named = ", ".join(f'{said} AS "{name}"' for name, said in columns.items())
        connection.execute(f"COPY (SELECT {named}) TO '{file}' (FORMAT parquet)")
    crawl = mine(lake, "snapshot", source=file, observed_at=AT)
    assert (crawl.rows_stored, crawl.failures) == (1, 0)
    [(stage, reason)] = lake.sql("SELECT stage, reason FROM failure").rows()
    assert stage == "field"
    assert reason.startswith(f"{column} is ")
    assert lake.sql("SELECT task FROM model").item() == "t"
