"""Uploads to a hub by huggingface_hub's own client, over HTTP: what arrives, what is sent once, what is refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from safetensors.torch import load_file

from learners.soups.soup import uniform_soup
from miners.mining import mine
from schemas import HubError, Lake, UsageError, open_lake
from tests.conftest import ROOT
from tests.hub import Reply, TestHub
from tests.mined_models import equal
from tests.published import everything_in
from zoo import load_population, load_weights, publish_population, publish_repositories
from zoo.publishing.published import open_published

REPOSITORY = "ada/tiny-zoo"

pytestmark = pytest.mark.filterwarnings(  # huggingface_hub's own upload by Git LFS does so
    "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
)


def sent(upload_hub: TestHub) -> list[str]:
    """The large files that were sent, by their hashes."""
    return [request.path for request in upload_hub.log if request.method == "PUT" and request.status == 200]


def test_a_round_trip(copied: Lake, upload_hub: TestHub, tmp_path: Path) -> None:
    """Published, listed, loaded and fetched: what comes back is what the lake holds."""
    publish_population(copied, "tiny", f"hf:{REPOSITORY}", license_id="cc-by-4.0")
    publish_population(copied, "tiny", tmp_path / "local", license_id="cc-by-4.0")
    assert [found.id for found in HfApi(upload_hub.url).list_datasets(author="ada")] == [REPOSITORY]
    fetched = Path(
        snapshot_download(REPOSITORY, repo_type="dataset", endpoint=upload_hub.url, local_dir=tmp_path / "back")
    )
    arrived = {path: content for path, content in everything_in(fetched).items() if not path.startswith(".cache")}
    written = everything_in(tmp_path / "local")
    assert arrived.pop("README.md").decode().count(f'"{REPOSITORY}"') >= 2
    assert arrived == {path: content for path, content in written.items() if path != "README.md"}
    published = open_published(f"hf:{REPOSITORY}")
    for table, query in {"training": "FROM training", "models": "SELECT model_id, test_accuracy FROM models"}.items():
        assert published.sql(f"{query} ORDER BY ALL").equals(copied.sql(f"{query} ORDER BY ALL")), table
    population = load_population(f"hf:{REPOSITORY}", "width = 3")
    for index, model_id in enumerate(population.rows["model_id"]):
        assert equal(population.member(index), load_weights(copied, model_id))
    assert not list((copied.path / "published").iterdir())


def test_commits_are_small_and_end_with_the_card(
    copied: Lake, upload_hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.publishing.commits.portions.__defaults__", (4,))
    files = publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    assert upload_hub.uploads is not None
    commits = [paths for _, paths in upload_hub.uploads.commits]
    assert [sorted(paths) for paths in commits] == [
        sorted(part["file"]) for _, part in sorted(files.group_by("commit"), key=lambda group: group[0])
    ]
    assert max(map(len, commits)) == 4
    assert {path for path in files["file"] if path.startswith("weights/")} <= set(commits[0])
    assert "README.md" in commits[-1]


def test_an_upload_that_stopped_goes_on_where_it_was(
    copied: Lake, upload_hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.publishing.commits.portions.__defaults__", (4,))
    monkeypatch.setattr("zoo.publishing.hub.MOST_FILES", 4)
    assert upload_hub.uploads is not None
    upload_hub.misbehave("*/commit/*", Reply(400, {}, b'{"error": "not now"}'))
    with pytest.raises(HubError, match="the hub answers 400"):
        publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    upload_hub.orders.clear()
    first = len(sent(upload_hub))
    publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    once, commits = sent(upload_hub), len(upload_hub.uploads.commits)
    assert len(once) == len(set(once)) > first == 4
    publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    assert (sent(upload_hub), len(upload_hub.uploads.commits)) == (once, commits)


def test_a_publisher_that_is_killed_in_the_middle_loses_nothing(copied: Lake, upload_hub: TestHub) -> None:
    upload_hub.patience = 60
    command = ["zoo", "publish", "tiny", "--to", f"hf:{REPOSITORY}", "--lake", str(copied.path), "--quiet"]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "0"}
    upload_hub.misbehave("/lfs/*", "timeout", times=5)
    with subprocess.Popen([sys.executable, "-m", "weightlake", *command], cwd=ROOT, env=environment) as process:
        deadline = time.monotonic() + 120
        while not [request for request in upload_hub.log if request.path.startswith("/lfs/")]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    upload_hub.orders.clear()
    before = sent(upload_hub)
    publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    assert len(sent(upload_hub)) == len(set(sent(upload_hub))) >= len(before)
    assert len(load_population(f"hf:{REPOSITORY}", "width = 3")) == 4


def test_a_hub_without_xet_gets_large_files_by_git_lfs(
    copied: Lake, upload_hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a fresh installation has it: the client comes with Xet, and would send nothing without."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    assert [request.status for request in upload_hub.requests("*xet-write-token*")] == [404]
    assert len(sent(upload_hub)) > 3
    assert len(load_population(f"hf:{REPOSITORY}", "width = 3")) == 4
    assert not constants.HF_HUB_DISABLE_XET


def test_what_is_published_no_more_is_deleted(copied: Lake, upload_hub: TestHub) -> None:
    publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    files = publish_population(copied, "SELECT model_id FROM member WHERE width = 3 AND seed = 0", f"hf:{REPOSITORY}")
    assert set(HfApi(upload_hub.url).list_repo_files(REPOSITORY, repo_type="dataset")) == set(files["file"])
    assert len(load_population(f"hf:{REPOSITORY}", "true")) == 2


def test_a_dry_run_asks_no_hub(copied: Lake, upload_hub: TestHub) -> None:
    plan = publish_population(copied, "tiny", f"hf:{REPOSITORY}", dry_run=True)
    assert set(plan["commit"]) == {1}
    assert plan.columns == ["file", "rows", "bytes", "commit"]
    assert upload_hub.log == []
    assert not (copied.path / "published").exists()


def test_a_repository_of_others_is_left_alone(copied: Lake, upload_hub: TestHub) -> None:
    place = upload_hub.site.repositories._root.parent / "datasets" / REPOSITORY  # type: ignore[union-attr] # there is one
    place.mkdir(parents=True)
    (place / "README.md").write_text("# by hand")
    upload_hub._changed("datasets", REPOSITORY)
    with pytest.raises(UsageError, match="hf:ada/tiny-zoo has other things in it"):
        publish_population(copied, "tiny", f"hf:{REPOSITORY}")
    assert [path.name for path in place.iterdir()] == ["README.md"]


def test_a_token_that_may_not_write_is_said(copied: Lake, upload_hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(HubError, match="cannot be written: set HF_TOKEN to a token that may write"):
        publish_population(copied, "tiny", f"hf:{REPOSITORY}")


def test_exported_models_are_mined_again_as_what_they_are(copied: Lake, upload_hub: TestHub, tmp_path: Path) -> None:
    """Exported as repositories of a hub, listed, mined and loaded by safetensors alone."""
    uniform_soup(copied, "SELECT model_id FROM member WHERE width = 3 AND batch_size = 4", force=True)
    query = "SELECT model_id FROM models WHERE width = 3 AND batch_size = 4 OR origin = 'made' ORDER BY model_id"
    assert publish_repositories(copied, query, "hf:ada", license_id="cc0-1.0") == 3
    other = open_lake(tmp_path / "other")
    crawl = mine(other, "huggingface", endpoint=upload_hub.url, cards=True, tensors=True, configs=True)
    assert (crawl.rows_stored, crawl.failures) == (3, 0)
    rows = copied.sql(f"SELECT model_id, owner, name FROM models SEMI JOIN ({query}) USING (model_id)").rows()
    names = {f"huggingface:ada/{owner}-{name}": model_id for model_id, owner, name in rows}
    columns = "model_id, parameters, license, task, library, architecture, model_type"
    mined = other.sql(f"SELECT {columns} FROM model ORDER BY ALL").rows()
    known = dict(copied.sql("SELECT model_id, parameters FROM model").rows())
    built = ("MLP", "weightlake-mlp")
    assert mined == [
        (each, known[names[each]], "cc0-1.0", "image-classification", "weightlake", *built) for each in sorted(names)
    ]
    for each, model_id in names.items():
        expected = load_weights(copied, model_id)
        tensors = other.sql("SELECT name, shape FROM tensor WHERE model_id = $id ORDER BY name", id=each).rows()
        assert tensors == [(name, list(tensor.shape)) for name, tensor in sorted(expected.items())]
        file = hf_hub_download(each.partition(":")[2], "model.safetensors", endpoint=upload_hub.url)
        assert equal(load_file(file), expected)
    accuracies = dict(copied.sql("SELECT model_id, round(test_accuracy, 6) FROM models").rows())
    found = dict(other.sql("SELECT model_id, value FROM evaluation WHERE metric = 'accuracy'").rows())
    assert found == {each: accuracies[model_id] for each, model_id in names.items()}
    parents = other.sql("SELECT parent_id FROM lineage ORDER BY ALL")["parent_id"].to_list()
    assert parents == sorted(each for each in names if "made" not in names[each])


def test_one_repository_holds_one_model(copied: Lake, upload_hub: TestHub) -> None:
    with pytest.raises(UsageError, match="is one repository and these are 8 models; name the owner alone: hf:owner"):
        publish_repositories(copied, "SELECT model_id FROM member", "hf:ada/one")
    publish_repositories(copied, "SELECT min(model_id) AS model_id FROM member", "hf:ada/one")
    assert [found.id for found in HfApi(upload_hub.url).list_models()] == ["ada/one"]
    with pytest.raises(UsageError, match="names no repository of the hub"):
        publish_repositories(copied, "SELECT model_id FROM member", "hf:../x")
