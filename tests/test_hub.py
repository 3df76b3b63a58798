"""The test hub is a hub: the real client works against it, and it serves nothing that it should not."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import httpx2
import pytest
import torch
from huggingface_hub import HfApi, RepoFile, snapshot_download
from huggingface_hub import errors as hub_errors
from safetensors.torch import load_file, save_file

from miners.mining import mine
from schemas import Lake
from tests.hub import Record, TestHub
from tests.hub.routes import signature

TOKEN = "hf_secretsecretsecretsecret"
TODAY: list[Record] = [
    {
        "id": f"{owner}/model-{number}",
        "sha": f"{number:040x}",
        "likes": number % 7,
        "downloads": 100 - number,
        "pipeline_tag": "text-generation" if number % 2 else "fill-mask",
        "library_name": "transformers",
        "tags": ["transformers", "license:mit"] if number % 3 else ["transformers"],
        "createdAt": "2024-05-01T10:00:00.000Z",
        "cardData": {"license": "mit"},
        "safetensors": {"parameters": {"F32": number}, "total": number},
        "private": False,
    }
    for owner in ("ada", "ben")
    for number in range(25)
]
RESTRICTED: list[Record] = [
    {"id": "ada/gated", "gated": "manual"},
    {"id": "ada/granted", "gated": "auto"},
    {"id": "ada/private", "private": True},
]
IN_2022: list[Record] = [{"modelId": "ada/old", "sha": "0" * 40, "tags": [], "config": None, "siblings": []}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models: one with a single weight file, one sharded, one without an owner."""
    root = tmp_path / "hub"
    for name in ("ada/single", "ada/sharded", "ada/gated", "ada/granted", "ada/private", "alone"):
        (root / name / "onnx").mkdir(parents=True)
        (root / name / "README.md").write_text(f"# {name}")
        (root / name / "onnx" / "config.json").write_text("{}")
    save_file({"weight": torch.arange(6.0).reshape(2, 3)}, root / "ada/single/model.safetensors")
    shards = {"first": "model-00001-of-00002.safetensors", "second": "model-00002-of-00002.safetensors"}
    for name, shard in shards.items():
        save_file({name: torch.zeros(4, dtype=torch.bfloat16)}, root / "ada/sharded" / shard)
    index = {"metadata": {"total_size": 16}, "weight_map": shards}
    (root / "ada/sharded/model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "outside.txt").write_text("secret")
    (root / "ada" / "single" / "link.txt").symlink_to(tmp_path / "outside.txt")
    return root


@pytest.fixture
def hub(folder: Path) -> Iterator[TestHub]:
    with TestHub(TODAY + RESTRICTED, folder, token=TOKEN, granted=["ada/granted"]) as running:
        yield running


@pytest.fixture
def plain(hub: TestHub) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub.url, timeout=5) as client:
        yield client


def client_of(hub: TestHub, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def test_the_real_client_lists_all_models_page_by_page(hub: TestHub) -> None:
    found = list(client_of(hub).list_models(author="ada", expand=["likes", "safetensors"]))
    assert [model.id for model in found][:25] == [f"ada/model-{number}" for number in range(25)]
    assert found[3].safetensors is not None
    assert found[3].safetensors.total == 3
    assert found[3].downloads is None
    assert len(list(client_of(hub).list_models())) == len(TODAY + RESTRICTED)


def test_the_real_client_finds_and_sorts(hub: TestHub) -> None:
    api = client_of(hub)
    assert {model.id for model in api.list_models(search="EL-7")} == {"ada/model-7", "ben/model-7"}
    assert len(list(api.list_models(pipeline_tag="fill-mask"))) == 26
    assert len(list(api.list_models(filter=["transformers", "license:mit"]))) == 32
    assert [model.id for model in api.list_models(sort="downloads", limit=2)] == ["ada/model-0", "ben/model-0"]


def test_the_real_client_describes_a_model(hub: TestHub) -> None:
    info = client_of(hub).model_info("ada/single", files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or ()}
    assert set(files) == {"README.md", "model.safetensors", "onnx/config.json"}
    weights = files["model.safetensors"]
    assert weights.lfs is not None
    assert weights.lfs.size == weights.size
    listed = client_of(hub).list_repo_tree("ada/single", recursive=True)
    sizes = {entry.path: entry.size for entry in listed if isinstance(entry, RepoFile)}
    assert sizes == {path: file.size for path, file in files.items()}


@pytest.mark.parametrize("large_files", ["here", "elsewhere"])
def test_the_real_client_downloads(folder: Path, tmp_path: Path, large_files: Literal["here", "elsewhere"]) -> None:
    with TestHub(repositories=folder, large_files=large_files) as hub:
        api = client_of(hub)
        weights = api.hf_hub_download("ada/single", "model.safetensors", cache_dir=tmp_path / "cache")
        card = api.hf_hub_download("alone", "README.md", cache_dir=tmp_path / "cache")
    assert load_file(weights)["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert Path(card).read_text() == "# alone"


def test_a_snapshot_of_the_real_client_is_mined_from_its_cache(lake: Lake, folder: Path, tmp_path: Path) -> None:
    with TestHub(repositories=folder) as hub:
        for name in ("ada/single", "ada/sharded"):
            snapshot_download(name, endpoint=hub.url, cache_dir=tmp_path / "cache", token=False)
        commits = {name: client_of(hub).model_info(name).sha for name in ("ada/single", "ada/sharded")}
    mine(lake, "local", folder=tmp_path / "cache")
    stored = lake.sql("SELECT model_id, sha, parameters FROM model ORDER BY model_id").rows()
    assert stored == [("local:ada/sharded", commits["ada/sharded"], 8), ("local:ada/single", commits["ada/single"], 6)]
    assert lake.sql("SELECT name FROM tensor ORDER BY name")["name"].to_list() == ["first", "second", "weight"]


def test_the_real_client_reads_headers_of_weights(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))  # the call takes no cache_dir
    single = client_of(hub).get_safetensors_metadata("ada/single").files_metadata["model.safetensors"]
    assert (single.tensors["weight"].dtype, single.tensors["weight"].shape) == ("F32", [2, 3])
    sharded = client_of(hub).get_safetensors_metadata("ada/sharded")
    assert sharded.sharded
    assert sharded.parameter_count == {"BF16": 8}


@pytest.mark.parametrize(
    ("name", "path", "error"),
    [
        ("ada/none", "README.md", hub_errors.RepositoryNotFoundError),
        ("ada/private", "README.md", hub_errors.RepositoryNotFoundError),
        ("ada/gated", "onnx/config.json", hub_errors.GatedRepoError),
        ("ada/single", "none.txt", hub_errors.RemoteEntryNotFoundError),
    ],
)
def test_the_real_client_understands_refusals(
    hub: TestHub, tmp_path: Path, name: str, path: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client_of(hub).hf_hub_download(name, path, cache_dir=tmp_path)


def test_the_real_client_understands_a_missing_revision(hub: TestHub) -> None:
    with pytest.raises(hub_errors.RevisionNotFoundError):
        client_of(hub).model_info("ada/single", revision="v9")
    commit = client_of(hub).model_info("ada/single").sha
    assert client_of(hub).model_info("ada/single", revision=commit).sha == commit


def test_a_token_opens_what_it_was_granted(hub: TestHub, tmp_path: Path) -> None:
    api = client_of(hub, TOKEN)
    api.hf_hub_download("ada/private", "README.md", cache_dir=tmp_path)
    api.hf_hub_download("ada/granted", "onnx/config.json", cache_dir=tmp_path)
    with pytest.raises(hub_errors.GatedRepoError):
        api.hf_hub_download("ada/gated", "onnx/config.json", cache_dir=tmp_path)
    assert {request.status for request in hub.requests("/ada/gated/*")} == {403}


def test_a_listing_gives_what_is_asked_for(plain: httpx2.Client) -> None:
    def keys(query: str) -> set[str]:
        return set(plain.get(f"/api/models?limit=1&{query}").json()[0])

    assert keys("expand[]=likes&expand[]=sha") == keys("expand=likes,sha") == {"id", "likes", "sha"}
    assert "sha" not in keys("")
    assert {"sha", "cardData"} <= keys("full=true&cardData=true")
    assert "safetensors" not in keys("full=true&cardData=true")


def test_records_of_2022_keep_their_shape() -> None:
    with TestHub(IN_2022) as hub:
        assert httpx2.get(f"{hub.url}/api/models").json() == IN_2022
        assert httpx2.get(f"{hub.url}/api/models?expand=tags").json() == [{"modelId": "ada/old", "tags": []}]
        assert httpx2.get(f"{hub.url}/api/models/ada/old").json()["id"] == "ada/old"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=%21", "cursor=W10%3D", "expand=everything"])
def test_a_bad_question_is_answered_with_400(plain: httpx2.Client, query: str) -> None:
    assert plain.get(f"/api/models?{query}").status_code == 400


def test_ranges(plain: httpx2.Client) -> None:
    def get(value: str) -> tuple[int, bytes, str | None]:
        answer = plain.get("/alone/resolve/main/README.md", headers={"Range": value})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert get("bytes=0-2") == (206, b"# a", "bytes 0-2/7")
    assert get("bytes=5-99") == (206, b"ne", "bytes 5-6/7")
    assert get("bytes=5-") == (206, b"ne", "bytes 5-6/7")
    assert get("bytes=-2") == (206, b"ne", "bytes 5-6/7")
    assert get("bytes=7-9") == (416, b"", "bytes */7")
    assert get("bytes=0-1,3-4") == (200, b"# alone", None)


@pytest.mark.parametrize(
    "path",
    [
        "../../outside.txt",
        "..%2f..%2foutside.txt",
        "%2e%2e/%2e%2e/outside.txt",
        "link.txt",
        "../sharded/README.md",
        "./README.md",
        "onnx/../README.md",
        "onnx//config.json",
        "onnx",
        "%00",
    ],
)
@pytest.mark.parametrize("prefix", ["/ada/single/resolve/main/", "/blobs/ada/single/"])
def test_nothing_outside_a_repository_is_served(hub: TestHub, prefix: str, path: str) -> None:
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"))  # sends the path as it is
    connection.request("GET", f"{prefix}{path}?Signature={signature('ada/single', unquote(path))}")
    assert connection.getresponse().status == 404
    connection.close()


def test_a_signature_opens_one_large_file(plain: httpx2.Client) -> None:
    location = plain.get("/ada/single/resolve/main/model.safetensors").headers["location"]
    assert plain.get(location).status_code == 200
    assert plain.get(location.replace("single", "sharded")).status_code == 403
    assert plain.get(location.split("?")[0]).status_code == 403
