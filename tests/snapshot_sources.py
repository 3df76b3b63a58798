"""Snapshots of a hub for tests, as JSON lines and in the columns of hub-stats, and what the page path makes of them."""

import json
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from miners.pages import Page
from miners.records import rows
from schemas import Lake
from schemas.mined import merge_models

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
SHA = "0" * 39 + "a"
HUB_STATS = {
    **dict.fromkeys(["_id", "id", "modelId", "sha", "gated", "library_name", "pipeline_tag"], "VARCHAR"),
    **dict.fromkeys(["createdAt", "lastModified"], "TIMESTAMP"),
    **dict.fromkeys(["private", "disabled"], "BOOLEAN"),
    **dict.fromkeys(["downloads", "downloadsAllTime", "likes", "usedStorage"], "BIGINT"),
    **dict.fromkeys(["cardData", "config", "gguf", "model-index"], "JSON"),
    **dict.fromkeys(["tags", "spaces"], "VARCHAR[]"),
    "trendingScore": "DOUBLE",
    "siblings": "STRUCT(rfilename VARCHAR)[]",
    "safetensors": "STRUCT(parameters STRUCT(F32 BIGINT, BF16 BIGINT, F16 BIGINT, I64 BIGINT), total BIGINT)",
}
ANYTHING: list[Any] = [
    *(None, "", 5, 5.0, 1.5, True, False, "x", ["a"], ["a", "a"], ["a", ""], ["a", None, 1], {"a": 1}, {}, []),
    *("é\u0000q", 'with "quotes"', 2**63, 10**300, -3, "NaN", [["a"]], "2022-01-20T12:13:34.000Z", "2022-01-20"),
    *("2022-13-45T00:00:00.000Z", "2022-01-20T12:13:34+02:00", "0000-01-01T00:00:00.000Z", "auto", "manual", "no"),
    *([{"rfilename": "a.bin"}] * 2, [{"rfilename": "x.GGUF"}, {"rfilename": ""}], float("inf")),
    [{"rfilename": "m.safetensors", "size": 3, "lfs": {"sha256": "s", "size": 3}}],
]
TAGS = [
    *("en", "de", "license:mit", "license:apache-2.0", "license:", "language:en", "language:fr", "base_model:x/y"),
    *("base_model:finetune:x/y", "base_model:merge:x/y", "base_model:odd:x/y", "base_model:a/b/c", "a:b:c"),
    *("base_model:quantized:z", "arxiv:1", "arxiv:", "dataset:d", "dataset:e/f", "doi:10.1/2", "foo:bar", "region:us"),
    *("base_model:o/m0", "base_model:finetune:o/m1", "é", "odd:"),
]
OBJECTS = {
    "cardData": ["license", "language", "datasets", "base_model", "base_model_relation"],
    "config": ["architectures", "model_type", "diffusers"],
    "gguf": ["total", "architecture"],
    "safetensors": ["total", "parameters"],
}
INSIDE: list[Any] = [
    *(["en", "de"], False, "no", ["no", False], ["mit"], ["mit", "cc-by-4.0"], "Apache-2.0", " mit ", ["x/y", "z"]),
    *("x/y", "https://huggingface.co/x/y/", "merge", "finetune", {"F32": 5, "BF16": 7}, {"F32": 2**63}),
    *({"_class_name": "P"}, {"_class_name": 5}, ["BertModel", "Other"], ["d", "e/f"], "bert", 12, 7),
]
SCALARS = ["_id", "sha", "location", "pipeline_tag", "library_name", "usedStorage", "downloads", "downloadsAllTime"]
SCALARS += ["likes", "trendingScore", "gated", "private", "disabled", "createdAt", "lastModified", "model-index"]
LISTS = ["tags", "spaces", "siblings"]
BROKEN = [
    *("{broken", "7", "null", "[1]", "", "  ", '{"id":"a/b"} x', '{"id":"../x"}', '{"id":"o/m3","likes":77}'),
    *('{"id":5,"modelId":"o/old"}', '{"id":"a/..","modelId":"o/older","tags":[]}', '{"id":true}', '{"id": "unclosed'),
]


def odd_lines(seed: int, count: int, oddity: float) -> list[str]:
    """Records of which each field is odd with the probability `oddity`, and a few lines that are none."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        record = _odd_record(chance, number, oddity)
        found.append(json.dumps(record, ensure_ascii=chance.random() < 0.5))
        if chance.random() < 0.01:
            found.append(chance.choice(BROKEN))
    return found


def _odd_record(chance: random.Random, number: int, oddity: float) -> dict[str, Any]:
    record: dict[str, Any] = {"id": f"o/m{number}", "sha": SHA, "likes": number, "downloads": number}
    if chance.random() < 0.1:
        record["modelId"] = record.pop("id")
    if chance.random() < 0.4:
        record["tags"] = [chance.choice(TAGS) for _ in range(chance.randrange(6))]
    if chance.random() < 0.3:
        record["spaces"] = list({f"s/{chance.randrange(5)}" for _ in range(chance.randrange(4))})
    if chance.random() < 0.5:
        names = {f"{chance.choice('abc')}.{chance.choice(['bin', 'ONNX', 'txt', 'pt', 'h5'])}" for _ in range(4)}
        record["siblings"] = [{"rfilename": name} for name in sorted(names)]
    for name, keys in OBJECTS.items():
        if chance.random() < 0.3:
            record[name] = {key: chance.choice(INSIDE + TAGS) for key in keys if chance.random() < 0.5}
    record |= {"gated": chance.choice([False, "auto", "manual", None]), "createdAt": "2024-11-26T08:12:11.000Z"}
    for name in [*SCALARS, *LISTS, *OBJECTS, "id", "modelId"]:
        if chance.random() < oddity:
            record[name] = chance.choice(ANYTHING)
    return record


def write_lines(file: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write records as JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    return file


def write_hub_stats(lines: Path, file: Path, without: Sequence[str] = ()) -> Path:
    """Write JSON lines as Parquet in the columns of hub-stats: nested fields are texts of JSON, others have types."""
    names = {name: kind for name, kind in HUB_STATS.items() if name not in without}
    read = ", ".join(f'"{name}"::VARCHAR AS "{name}"' if names[name] == "JSON" else f'"{name}"' for name in names)
    file.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        source = f"read_json('{lines}', format = 'newline_delimited', columns = {names})"
        connection.execute(f"COPY (SELECT {read} FROM {source}) TO '{file}' (FORMAT parquet)")
    return file


def mine_by_pages(lake: Lake, lines: Sequence[str | bytes], at: datetime = AT) -> tuple[int, int]:
    """Mine records as a listing gives them, one a page; how many were seen and stored."""
    bodies = [line.encode() if isinstance(line, str) else line for line in lines]
    pages = [Page(f"#{place}", at, b"[" + body + b"]") for place, body in enumerate(b for b in bodies if b.strip())]
    batch = rows(pages, "by pages")
    with lake.write() as transaction:
        merge_models(transaction, batch.tables("huggingface", "by pages", at))
    return batch.seen, batch.stored


def contents(lake: Lake) -> dict[str, pl.DataFrame]:
    """All rows of the mined tables in one order, without the runs' names; of a listing's failures, the place only."""
    found = {}
    for table in lake.sql("SELECT table_name FROM duckdb_tables() ORDER BY 1")["table_name"]:
        if table not in ("crawl", "migration"):
            columns = lake.sql(f"SELECT * FROM {table} LIMIT 0").columns
            kept = ", ".join(name for name in columns if name != "crawl_id")
            if table == "failure":
                place = "regexp_extract(subject, '#([0-9]+)', 1)"
                kept = kept.replace("subject", f"if(starts_with(subject, 'huggingface:'), subject, {place}) AS subject")
            found[table] = lake.sql(f"SELECT {kept} FROM {table} ORDER BY ALL")
    return found


def assert_equal(first: Lake, second: Lake) -> None:
    """Two lakes have the same rows in every table."""
    one, other = contents(first), contents(second)
    for table, frame in one.items():
        assert frame.equals(other[table]), f"{table} differs"
