"""What is odd, large or empty on a hub is stored as far as it can be, and what cannot be is said."""

import json
import string
from pathlib import Path
from typing import Any

import pytest

from miners.mining import mine
from schemas import Lake, examine
from tests.hub import Reply, TestHub

EVERY_LEGAL = f"{string.ascii_letters}/{string.digits}.-_{string.ascii_lowercase}"
SHA = "a" * 40


@pytest.mark.slow
def test_a_repository_with_twenty_thousand_files(lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "repositories" / "owner" / "many"
    for folder in range(20):
        (place / f"f{folder:02d}").mkdir(parents=True)
        for number in range(1000):
            (place / f"f{folder:02d}" / f"{number:04d}.txt").write_bytes(b"x" * (number % 5))
    with TestHub(repositories=tmp_path / "repositories") as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, files=True)
        pages = hub.requests("/api/models/owner/many/tree/*")
    assert (crawl.files, len(pages)) == (20_000, 21)  # twenty folders are entries too
    assert lake.sql("SELECT count(DISTINCT path), sum(bytes), count(blob) FROM file").row(0) == (20_000, 40_000, 20_000)
    assert lake.sql("SELECT files FROM model").item() == 20_000
    assert lake.sql("SELECT * FROM failure").is_empty()


def test_a_card_of_a_hundred_megabytes(lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "repositories" / "owner" / "long"
    place.mkdir(parents=True)
    with (place / "README.md").open("wb") as card:
        card.write(b"---\nlicense: mit\n---\n# Long\n")
        card.write(b"words and words\n" * (100 * 2**20 // 16))
    size = (place / "README.md").stat().st_size
    with TestHub(repositories=tmp_path / "repositories") as hub:
        assert mine(lake, "huggingface", endpoint=hub.url, cards=True).cards == 1
        sent = [request.headers.get("range") for request in hub.requests("*README.md") if request.status == 206]
    assert sent == ["bytes=0-1048576"]
    row = lake.sql("SELECT bytes, length(text) AS kept, problems FROM card").row(0, named=True)
    assert (row["bytes"], row["kept"], row["problems"]) == (size, 2**20, ["over the size limit"])
    assert lake.sql("SELECT license FROM model").item() == "mit"


@pytest.mark.parametrize("name", [EVERY_LEGAL, "gpt2", "a" * 96 + "/" + "b" * 96, "0/0", "-/_"])
def test_an_id_of_every_legal_character(lake: Lake, tmp_path: Path, name: str) -> None:
    place = tmp_path / "repositories" / name
    place.mkdir(parents=True)
    (place / "README.md").write_text("# A card\n")
    ids = tmp_path / "ids.txt"
    ids.write_text(name)
    wanted = {"cards": True, "files": True, "commits": True, "discussions": True}
    with TestHub(repositories=tmp_path / "repositories") as hub:
        for choice in ({}, {"ids": str(ids)}):
            assert mine(lake, "huggingface", endpoint=hub.url, **choice, **wanted).rows_stored == 1
    assert lake.sql("SELECT model_id FROM card").item() == f"huggingface:{name}"
    assert lake.sql("SELECT model_id, bytes FROM file").rows() == [(f"huggingface:{name}", 9)]
    assert lake.sql("SELECT * FROM failure").is_empty()
    assert examine(lake).is_empty()


NULLS = dict.fromkeys(
    [
        *("_id", "sha", "createdAt", "lastModified", "tags", "siblings", "cardData", "config", "gated", "private"),
        *("downloads", "likes", "pipeline_tag", "library_name", "safetensors", "gguf", "spaces", "usedStorage"),
        *("model-index", "disabled", "trendingScore", "downloadsAllTime", "author", "baseModels", "evalResults"),
    ]
)


def test_a_record_with_every_value_null_and_one_with_unknown_keys(lake: Lake) -> None:
    strange: dict[str, Any] = {"id": "owner/strange", "sha": SHA, "somethingNew": {"deep": [1, {"er": None}]}, "": 1}
    with TestHub([{"id": "owner/null", **NULLS}, strange, {"id": "owner/bare"}]) as hub:
        crawl = mine(lake, "huggingface", endpoint=hub.url, cards=True, configs=True)
        assert mine(lake, "huggingface", endpoint=hub.url, full=True).rows_stored == 3
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (3, 3, 0)
    known = lake.sql("SELECT name, sha, downloads, files FROM model ORDER BY name").rows()
    assert known == [("bare", None, None, None), ("null", None, None, None), ("strange", SHA, None, None)]
    assert lake.sql("SELECT * FROM failure").is_empty()
    assert lake.sql("SELECT * FROM event").is_empty()


@pytest.mark.parametrize("body", [b"", b"{}", b"[1, 2]", b'[{"id": 5}]', b'{"discussions": 7}', b"\x00" * 20])
def test_answers_about_a_model_that_say_nothing_are_failures_or_nothing(
    lake: Lake, tmp_path: Path, body: bytes
) -> None:

    (tmp_path / "repositories" / "owner" / "odd").mkdir(parents=True)
    (tmp_path / "repositories" / "owner" / "odd" / "README.md").write_text("x")
    with TestHub(repositories=tmp_path / "repositories") as hub:
        for what in ("tree", "commits", "discussions"):
            hub.misbehave(f"/api/models/owner/odd/{what}*", Reply(200, {"Content-Type": "application/json"}, body), 9)
        wanted = {"files": True, "commits": True, "discussions": True}
        assert mine(lake, "huggingface", endpoint=hub.url, **wanted).state == "finished"
    assert lake.sql("SELECT count(*) FROM fetched").item() == 3
    assert lake.sql("SELECT count(*) FROM discussion").item() == 0
    reasons = lake.sql("SELECT stage, reason FROM failure ORDER BY stage")
    assert set(reasons["stage"]) >= {"commits", "discussions", "file"}
    assert json.dumps(reasons["reason"].to_list()).isprintable()
