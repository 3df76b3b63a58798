import json
from typing import Any

import pytest

from miners.kaggle import describe
from miners.mining import mine
from miners.package import Lost
from schemas import Lake
from schemas.doctor import examine
from tests.sites import Kaggle

BASE = {"id": 9, "owner": {"slug": "keras"}, "modelSlug": "bert", "framework": "keras", "instanceSlug": "bert_base"}
FULL = {
    "id": 5,
    "ref": "google/gemma",
    "title": "Gemma",
    "subtitle": "Open models",
    "author": "Google",
    "description": "# Gemma\n\n## Training data\nText, see https://arxiv.org/abs/2403.08295\n",
    "voteCount": 40,
    "isPrivate": False,
    "publishTime": "2024-02-21T10:00:00.1234567Z",
    "updateTime": "2024-04-01T00:00:00Z",
    "provenanceSources": "https://github.com/google-deepmind/gemma and more",
    "tags": [
        {"name": "text generation", "fullPath": "task > text generation"},
        {"name": "english", "fullPath": "language > english"},
    ],
    "url": "https://www.kaggle.com/models/google/gemma",
    "instances": [
        {
            "id": 12,
            "slug": "2b",
            "framework": "pyTorch",
            "licenseName": "Apache 2.0",
            "modelInstanceType": "kaggleVariant",
            "baseModelInstanceInformation": BASE,
            "totalUncompressedBytes": 5000,
            "trainingData": ["https://data.example/a"],
            "fineTunable": True,
        },
        {
            "id": 13,
            "slug": "7b",
            "framework": "transformers",
            "licenseName": "mit",
            "externalBaseModelUrl": "https://huggingface.co/google/gemma-7b",
        },
    ],
}


def test_a_model_and_each_of_its_variations_have_what_the_api_says(lake: Lake) -> None:
    with Kaggle([FULL]) as site:
        crawl = mine(lake, "kaggle", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures, crawl.cards) == (3, 3, 0, 1)
    columns = "model_id, owner, task, library, license, license_spdx, stored_bytes, likes"
    assert lake.sql(f"SELECT {columns} FROM model ORDER BY ALL").rows() == [
        ("kaggle:google/gemma", "google", "text generation", None, None, None, None, 40),
        (
            "kaggle:google/gemma/pyTorch/2b",
            "google/gemma/pyTorch",
            "text generation",
            "pyTorch",
            "Apache 2.0",
            "Apache-2.0",
            5000,
            None,
        ),
        (
            "kaggle:google/gemma/transformers/7b",
            "google/gemma/transformers",
            "text generation",
            "transformers",
            "mit",
            "MIT",
            None,
            None,
        ),
    ]
    assert lake.sql("SELECT child_id[21:], parent_id, relation, source FROM lineage ORDER BY ALL").rows() == [
        ("pyTorch/2b", "kaggle:keras/bert/keras/bert_base", "base", "listing"),
        ("transformers/7b", "huggingface:google/gemma-7b", "base", "listing"),
    ]
    created = lake.sql("SELECT strftime(created_at, '%Y-%m-%d') FROM model WHERE created_at IS NOT NULL").item()
    assert created == "2024-02-21"
    links = set(lake.sql("SELECT kind, target FROM link").iter_rows())
    assert {("paper", "2403.08295"), ("code", "https://github.com/google-deepmind/gemma")} <= links
    assert ("dataset", "https://data.example/a") in links
    assert examine(lake).is_empty()


def test_a_second_run_replaces_parents_and_marks_what_is_gone(lake: Lake) -> None:
    with Kaggle([FULL, FULL | {"ref": "o/other", "instances": []}]) as site:
        mine(lake, "kaggle", endpoint=site.url)
    changed = json.loads(json.dumps(FULL))
    changed["instances"][0]["baseModelInstanceInformation"]["modelSlug"] = "gpt"
    del changed["instances"][1]["externalBaseModelUrl"]
    with Kaggle([changed]) as other:
        crawl = mine(lake, "kaggle", endpoint=other.url)
        assert crawl.failures == 0
    assert lake.sql("SELECT parent_id FROM lineage")["parent_id"].to_list() == ["kaggle:keras/gpt/keras/bert_base"]
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NOT NULL").item() == 0  # another address


def test_pages_follow_their_tokens_and_what_is_missing_is_said(lake: Lake) -> None:
    models = [FULL | {"ref": f"o/m{number}", "id": number, "instances": []} for number in range(230)]
    with Kaggle(models, more=20) as site:
        crawl = mine(lake, "kaggle", endpoint=site.url)
        assert [request.value("pageToken") for request in site.requests()] == [None, "token-100", "token-200"]
    assert (crawl.rows_seen, crawl.rows_stored) == (230, 230)
    ((stage, reason),) = lake.sql("SELECT stage, reason FROM failure").rows()
    assert stage == "missing"
    assert reason == "the hub has 250 models for this and lists 230; ask for parts of it by search, author"


@pytest.mark.parametrize("ref", [None, 7, "", "a", "a/b/c", "../x", "a/..", "a b/c"])
def test_a_record_without_a_usable_name_is_lost_and_said(ref: object) -> None:
    lost = describe({"id": 3, "ref": ref})
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("ref is ")


def test_odd_values_are_stored_as_far_as_they_go(lake: Lake) -> None:
    odd: list[dict[str, Any]] = [
        {"ref": "a/b", "instances": 7, "tags": "x", "voteCount": "many", "publishTime": 5, "isPrivate": "no"},
        {
            "ref": "a/c",
            "instances": [None, {"slug": "x"}, {"slug": "../x", "framework": "f"}],
            "tags": [1, {"name": 2}],
        },
        {"ref": "a/d", "instances": [{"slug": "s", "framework": "f", "baseModelInstanceInformation": {"owner": None}}]},
        {
            "ref": "a/e",
            "instances": [{"slug": "s", "framework": "f", "externalBaseModelUrl": "https://evil.example/x/y"}],
        },
    ]
    with Kaggle(odd) as site:
        crawl = mine(lake, "kaggle", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (6, 6, 0)
    assert lake.sql("SELECT count(*) FROM lineage").item() == 0
    failed = lake.sql("SELECT reason FROM failure ORDER BY ALL")["reason"].to_list()
    assert [reason.split(" is ")[0] for reason in failed] == [
        "a variation",
        "a variation",
        "baseModelInstanceInformation",
        "created_at",
        "likes",
        "private",
    ]


def test_who_asks_is_shown_as_kaggle_wants_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    with Kaggle([FULL]) as site:
        mine(lake, "kaggle", endpoint=site.url)
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", "key")
        mine(lake, "kaggle", endpoint=site.url)
        monkeypatch.setenv("KAGGLE_API_TOKEN", "token")
        mine(lake, "kaggle", endpoint=site.url)
        shown = [request.authorization for request in site.requests()]
    assert shown == [None, "Basic bWU6a2V5", "Bearer token"]
