import json
from typing import Any

import pytest

from learners import identify
from miners import civitai
from miners.civitai import describe
from miners.mining import mine
from miners.package import Lost
from schemas import Lake
from schemas.doctor import examine
from tests.hub.messages import as_json
from tests.sites import Civitai

SHA = "ABCDEF" * 10 + "1234"


def model(number: int, owner: str = "artist", **fields: Any) -> dict[str, Any]:
    return {"id": number, "name": f"Model {number}", "creator": {"username": owner}, "modelVersions": [], **fields}


FULL = model(
    4384,
    type="LORA",
    nsfw=True,
    description="<p>Trained as in <a href='https://arxiv.org/abs/2106.09685'>LoRA</a>.</p>",
    allowNoCredit=False,
    allowCommercialUse=["Image", "Rent"],
    allowDerivatives=True,
    allowDifferentLicense=False,
    stats={"downloadCount": 12, "thumbsUpCount": 3, "commentCount": 1},
    tags=["style", "anime"],
    modelVersions=[
        {
            "id": 77,
            "name": "v2",
            "baseModel": "SDXL 1.0",
            "publishedAt": "2024-01-31T12:00:00.123Z",
            "trainedWords": ["blue"],
            "stats": {"downloadCount": 9},
            "files": [
                {
                    "name": "style.safetensors",
                    "sizeKB": 144.5,
                    "type": "Model",
                    "pickleScanResult": "Success",
                    "virusScanResult": "Success",
                    "hashes": {"SHA256": SHA, "AutoV2": "ABCDEF1234"},
                    "metadata": {"format": "SafeTensor", "fp": "fp16"},
                }
            ],
        },
        {"id": 76, "name": "v1", "baseModel": "SD 1.5", "files": []},
    ],
)


def test_a_model_and_each_of_its_versions_have_what_the_api_says(lake: Lake) -> None:
    with Civitai([FULL]) as site:
        crawl = mine(lake, "civitai", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures, crawl.cards) == (3, 3, 0, 1)
    rows = lake.sql(
        "SELECT model_id, owner, hub_id, downloads_all_time, likes, files, stored_bytes FROM model ORDER BY ALL"
    )
    assert rows.rows() == [
        ("civitai:artist/4384", "artist", "4384", 12, 3, None, None),
        ("civitai:artist/4384/76", "artist/4384", "76", None, None, None, None),
        ("civitai:artist/4384/77", "artist/4384", "77", 9, None, 1, 147968),
    ]
    assert lake.sql("SELECT model_id, path, format, bytes, sha256 FROM file").rows() == [
        ("civitai:artist/4384/77", "style.safetensors", "safetensors", 147968, SHA.lower())
    ]
    tags = lake.sql("SELECT model_id[16:] AS version, tag, kind FROM tag ORDER BY ALL").rows()
    assert tags == [
        ("4384", "LORA", "type"),
        ("4384", "anime", "plain"),
        ("4384", "style", "plain"),
        ("4384/76", "SD 1.5", "base_model"),
        ("4384/77", "SDXL 1.0", "base_model"),
    ]
    said = dict(lake.sql("SELECT name, value FROM statement WHERE model_id = 'civitai:artist/4384'").iter_rows())
    assert json.loads(said["allowCommercialUse"]) == ["Image", "Rent"]
    assert (said["allowDerivatives"], said["allowNoCredit"], said["stats.commentCount"]) == ("true", "false", "1")
    scan = json.loads(lake.sql("SELECT value FROM statement WHERE name = 'scan'").item())
    assert scan == {"file": "style.safetensors", "pickleScanResult": "Success", "virusScanResult": "Success"}
    assert ("paper", "2106.09685") in set(lake.sql("SELECT kind, target FROM link").iter_rows())
    assert (
        lake.sql("SELECT ModelURL FROM ptmtorrent_v1 ORDER BY ALL")["ModelURL"][0] == "https://civitai.com/models/4384"
    )
    assert examine(lake).is_empty()


def test_a_version_is_found_on_another_hub_by_its_file(lake: Lake) -> None:
    with Civitai([FULL]) as site:
        mine(lake, "civitai", endpoint=site.url)
    with lake.write() as transaction:
        transaction.sql("INSERT INTO model BY NAME SELECT 'huggingface:a/style' AS model_id, 'huggingface' AS hub")
        transaction.sql(
            "INSERT INTO file BY NAME SELECT 'huggingface:a/style' AS model_id, 'lora.safetensors' AS path,"
            " 'safetensors' AS format, 147900 AS bytes, $sha AS sha256",
            sha=SHA.lower(),
        )
    identify(lake)
    assert lake.sql("SELECT model_id FROM same_model ORDER BY ALL")["model_id"].to_list() == [
        "civitai:artist/4384/77",
        "huggingface:a/style",
    ]


def test_models_that_the_listing_skips_or_hides_are_found_by_their_owners(lake: Lake) -> None:
    models = [model(number, f"artist{number % 7}") for number in range(450, 0, -1)]
    with Civitai(models, hides=frozenset({3, 44}), skips=True) as site:
        crawl = mine(lake, "civitai", endpoint=site.url)
        asked = site.requests("/api/v1/models")
    assert sum(request.value("username") is None for request in asked) == 5
    assert all(request.value("nsfw") == "true" for request in asked)
    assert 0 < sum(request.value("username") is not None for request in asked) < 7 * 2
    assert lake.sql("SELECT count(*) FROM model").item() == 450
    assert crawl.rows_seen == crawl.rows_stored == 450  # those that were listed twice, too
    assert lake.sql("SELECT count(*) FROM failure").item() == 0
    assert examine(lake).is_empty()


def test_a_limit_counts_versions_as_the_models_that_they_are(lake: Lake) -> None:
    models = [model(number, modelVersions=[{"id": 1000 + number}]) for number in range(1, 151)]
    with Civitai(models) as site:
        crawl = mine(lake, "civitai", endpoint=site.url, limit=121)
        assert (crawl.rows_seen, crawl.rows_stored, crawl.requests) == (121, 121, 1)
        assert lake.sql("SELECT count(*) FROM model").item() == 121
        assert mine(lake, "civitai", endpoint=site.url).rows_stored == 300


def test_records_that_are_lost_twice_count_once_and_a_site_may_list_anything(lake: Lake) -> None:
    odd: list[Any] = ["no object", None, 7, [], {}, {"id": "4"}, {"creator": 5, "id": 6}]
    models = [
        *odd,
        *[model(number, f"artist{number % 2}") for number in range(200)],
        {"id": None, "creator": {"username": "a"}},
    ]
    with Civitai(models, hides=frozenset({3})) as site:
        crawl = mine(lake, "civitai", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (len(models), 201, 7)
    assert lake.sql("SELECT count(*) FROM failure WHERE stage = 'listing'").item() == 7
    assert examine(lake).is_empty()


def test_what_no_listing_shows_is_said_and_nothing_is_marked_as_gone(lake: Lake) -> None:
    with Civitai([model(1, "a"), model(2, "b")]) as site:
        mine(lake, "civitai", endpoint=site.url)
        said = {"items": [{"username": "A", "modelCount": 5}, {"username": "b"}, 7], "metadata": {"totalPages": 1}}
        site.site.models[1]["creator"] = None  # type: ignore[attr-defined]
        site.misbehave("/api/v1/creators", as_json(said))
        mine(lake, "civitai", endpoint=site.url)
    failed = lake.sql("SELECT subject, stage, reason FROM failure").rows()
    assert failed == [("A", "missing", "the hub says that A has 5 models, and lists 1")]
    assert lake.sql("SELECT model_id FROM model WHERE deleted_at IS NULL ORDER BY ALL")["model_id"].to_list() == [
        "civitai:2",
        "civitai:a/1",
        "civitai:b/2",
    ]


def test_counts_that_cannot_be_had_do_not_spoil_the_listing(lake: Lake) -> None:
    with Civitai([model(1)]) as site:
        site.misbehave("/api/v1/creators", as_json({"error": "no"}), times=9)
        assert mine(lake, "civitai", endpoint=site.url).state == "finished"
    (reason,) = lake.sql("SELECT reason FROM failure WHERE stage = 'missing'")["reason"]
    assert reason.startswith("what is left out could not be found out: ")


ODD = [
    ({}, "it has no id"),
    ({"id": "4"}, "it has no id"),
    ({"id": True}, "it has no id"),
]


@pytest.mark.parametrize(("record", "reason"), ODD)
def test_a_record_without_an_id_is_lost_and_said(record: dict[str, Any], reason: str) -> None:
    lost = describe(record)
    assert isinstance(lost, Lost)
    assert lost.reason == reason


def test_odd_values_are_stored_as_far_as_they_go(lake: Lake) -> None:
    models = [
        model(1, "../etc", stats=[], tags={"a": 1}, modelVersions=None, description=7),
        model(2, "ok", stats={"downloadCount": "many", "thumbsUpCount": 10**30}, modelVersions=[1, {"id": None}]),
        model(
            3,
            modelVersions=[
                {
                    "id": 1,
                    "publishedAt": "yesterday",
                    "files": [{"name": None}, {"name": "a.bin", "hashes": {"SHA256": "x"}}],
                },
                {"id": 2, "files": [{"name": "b.bin", "sizeKB": -1, "hashes": [1]}, 7], "baseModel": {}},
            ],
        ),
    ]
    with Civitai(models) as site:
        crawl = mine(lake, "civitai", endpoint=site.url)
    assert (crawl.rows_seen, crawl.rows_stored) == (5, 5)
    assert lake.sql("SELECT model_id FROM model ORDER BY ALL")["model_id"].to_list() == [
        "civitai:1",
        "civitai:artist/3",
        "civitai:artist/3/1",
        "civitai:artist/3/2",
        "civitai:ok/2",
    ]
    failed = lake.sql("SELECT reason FROM failure WHERE stage = 'field' ORDER BY ALL")["reason"].to_list()
    assert [reason.split(" is ")[0] for reason in failed] == [
        "a file's path",
        "a version's id",
        "created_at",
        "downloads_all_time",
        "likes",
        "modelVersions",
        "modelVersions",
        "the hash of a.bin",
    ]
    assert lake.sql("SELECT value FROM statement WHERE name = 'creator'").item() == "../etc"


def test_the_token_goes_to_civitai_and_cursors_lead_nowhere_else(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIVITAI_API_TOKEN", "civitai-secret")
    monkeypatch.setenv("HF_TOKEN", "hub-secret")
    with Civitai([model(number) for number in range(101)]) as site:
        mine(lake, "civitai", endpoint=site.url)  # each page names http://elsewhere/ as the next one
        assert {request.authorization for request in site.requests()} == {"Bearer civitai-secret"}
    assert lake.sql("SELECT count(*) FROM model").item() == 101
    with civitai.client(site.url) as client:
        assert "secret" not in repr(client)
