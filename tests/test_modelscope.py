from typing import Any

import pytest

from miners.mining import mine
from miners.modelscope import describe
from miners.package import Lost
from schemas import HubError, Lake
from schemas.doctor import examine
from tests.hub.messages import as_json
from tests.sites import ModelScope

FULL = {
    "id": "Qwen/Qwen2.5-7B-Instruct",
    "display_name": "Qwen 2.5",
    "description": "A model",
    "downloads": 3400000,
    "likes": 51,
    "created_at": "2024-09-16T11:55:40Z",
    "last_modified": "2025-01-12T02:10:10Z",
    "license": "apache-2.0",
    "tasks": ["text-generation"],
    "tags": [
        "library:transformers",
        "base_model:Qwen/Qwen2.5-7B",
        "base_model:finetune:Qwen/Qwen2.5-7B",
        "chat",
        "2409:1",
    ],
    "file_size": 15242693632,
    "private": False,
    "gated": True,
}


def many(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"o{place % 3}/m{place}", **fields} for place in range(number)]


def test_a_model_has_what_the_api_says(lake: Lake) -> None:
    with ModelScope([FULL]) as site:
        crawl = mine(lake, "modelscope", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (1, 1, 0)
    row = lake.sql("SELECT * FROM model").row(0, named=True)
    assert (row["model_id"], row["task"], row["library"]) == (
        f"modelscope:{FULL['id']}",
        "text-generation",
        "transformers",
    )
    assert (row["license_spdx"], row["gated"], row["private"]) == ("Apache-2.0", "yes", False)
    assert (row["downloads"], row["downloads_all_time"], row["likes"]) == (None, 3400000, 51)
    assert (row["stored_bytes"], row["created_at"].year, row["modified_at"].year) == (15242693632, 2024, 2025)
    assert lake.sql("SELECT parent_id, relation FROM lineage ORDER BY ALL").rows() == [
        ("modelscope:Qwen/Qwen2.5-7B", "base"),
        ("modelscope:Qwen/Qwen2.5-7B", "finetune"),
    ]
    assert ("chat", "plain") in set(lake.sql("SELECT tag, kind FROM tag").iter_rows())
    assert lake.sql("SELECT ModelURL FROM ptmtorrent_v1").item() == f"https://modelscope.cn/models/{FULL['id']}"
    assert examine(lake).is_empty()


@pytest.mark.parametrize(("models", "pages"), [(0, 1), (1, 1), (50, 1), (51, 2), (120, 3)])
def test_every_page_is_read_and_none_more(lake: Lake, models: int, pages: int) -> None:
    with ModelScope(many(models)) as site:
        crawl = mine(lake, "modelscope", endpoint=site.url)
        assert (crawl.rows_stored, len(site.requests())) == (models, pages)
    assert lake.sql("SELECT count(*) FROM failure").item() == 0


def test_what_lies_beyond_the_depth_is_said_and_parts_can_be_asked_for(lake: Lake) -> None:
    models = [*many(3100, tasks=["vision"]), {"id": "late/comer", "tasks": ["audio"]}]
    with ModelScope(models) as site:
        crawl = mine(lake, "modelscope", endpoint=site.url)
        assert (crawl.rows_stored, len(site.requests())) == (3000, 60)
        reason = lake.sql("SELECT reason FROM failure WHERE stage = 'missing'").item()
        assert "has 3101 models for this and lists 3000; ask for parts of it by search, author, task, library" in reason
        assert mine(lake, "modelscope", endpoint=site.url, task="audio").rows_stored == 1
        assert mine(lake, "modelscope", endpoint=site.url, author="o1").rows_stored == 1033
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() >= 3001


def test_an_answer_that_says_what_is_wrong_ends_in_one_sentence(lake: Lake) -> None:
    with ModelScope([]) as site:
        site.misbehave("*", as_json({"success": False, "code": "QuotaLimitExceed", "message": "too many"}), times=9)
        with pytest.raises(HubError, match="answers with no page of models: it holds no data: too many") as refused:
            mine(lake, "modelscope", endpoint=site.url)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [None, 7, "", "a", "a/b/c", "../x", "a/.."])
def test_a_record_without_a_usable_name_is_lost_and_said(name: object) -> None:
    lost = describe({"id": name})
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("id is ")


def test_odd_values_are_stored_as_far_as_they_go(lake: Lake) -> None:
    odd = {
        "id": "a/b",
        "downloads": "many",
        "likes": -1,
        "tasks": "x",
        "tags": [1, "base_model:", "base_model:../x", ":y"],
    }
    with ModelScope(
        [odd | {"license": ["mit"], "created_at": 5, "gated": "no", "private": 0, "file_size": 1.5}]
    ) as site:
        assert mine(lake, "modelscope", endpoint=site.url).rows_stored == 1
    failed = lake.sql("SELECT reason FROM failure ORDER BY ALL")["reason"].to_list()
    assert [reason.split(" is ")[0] for reason in failed] == [
        "created_at",
        "downloads_all_time",
        "private",
        "stored_bytes",
    ]
    assert lake.sql("SELECT count(*) FROM lineage").item() == 0


def test_of_several_tasks_or_libraries_none_is_chosen_and_all_are_tags(lake: Lake) -> None:
    several = {"id": "a/b", "tasks": ["vision", "audio"], "tags": ["library:gguf", "library:peft"]}
    with ModelScope([several]) as site:
        mine(lake, "modelscope", endpoint=site.url)
    assert lake.sql("SELECT task, library FROM model").row(0) == (None, None)
    assert lake.sql("SELECT kind, tag FROM tag ORDER BY ALL").rows() == [
        ("library", "gguf"),
        ("library", "peft"),
        ("task", "audio"),
        ("task", "vision"),
    ]
