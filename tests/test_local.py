import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from miners.mining import mine
from schemas import Lake, UsageError
from schemas.doctor import examine

SHA = "0123456789" * 4
CARD = """---
license: mit
library_name: torch
pipeline_tag: image-classification
language: no
tags: [vision]
base_model: owner/parent
base_model_relation: finetune
datasets: [digits]
model-index:
- results:
  - task: {type: image-classification}
    dataset: {type: digits}
    metrics: [{type: accuracy, value: 0.9}]
---
# A model
It sees.
"""


def repository(place: Path, card: str = CARD) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"architectures": ["Cnn"], "model_type": "cnn"}))
    (place / "README.md").write_text(card)
    save_file({"weight": np.zeros((3, 4), np.float32), "bias": np.zeros(3, np.float32)}, place / "model.safetensors")
    return place


def reasons(lake: Lake) -> dict[str, str]:
    return dict(lake.sql("SELECT subject, stage || ': ' || reason FROM failure ORDER BY subject").iter_rows())


def model_ids(lake: Lake) -> list[str]:
    return lake.sql("SELECT model_id FROM model ORDER BY model_id")["model_id"].to_list()


def test_a_repository_becomes_the_same_rows_as_one_of_a_hub(lake: Lake, tmp_path: Path) -> None:
    place = repository(tmp_path / "models" / "owner" / "model")
    crawl = mine(lake, "local", folder=tmp_path / "models")
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures, crawl.cards, crawl.tensors) == (1, 1, 0, 1, 2)
    model = lake.sql("SELECT * FROM model").row(0, named=True)
    sizes = [child.stat().st_size for child in place.iterdir()]
    expected = {
        "model_id": "local:owner/model",
        "owner": "owner",
        "name": "model",
        "location": str(place),
        "task": "image-classification",
        "library": "torch",
        "license": "mit",
        "license_spdx": "MIT",
        "architecture": "Cnn",
        "model_type": "cnn",
        "parameters": 15,
        "files": 3,
        "stored_bytes": sum(sizes),
        "deleted_at": None,
    }
    assert {name: model[name] for name in expected} == expected
    assert lake.sql("SELECT parent_id, relation, source FROM lineage").rows() == [
        ("huggingface:owner/parent", "finetune", "card")
    ]
    assert lake.sql("SELECT kind, tag FROM tag ORDER BY kind").rows() == [("language", "no"), ("plain", "vision")]
    assert lake.sql("SELECT target FROM link").rows() == [("digits",)]
    assert lake.sql("SELECT metric, value FROM evaluation").rows() == [("accuracy", 0.9)]
    assert lake.sql("SELECT path, bytes FROM file ORDER BY path")["bytes"].to_list() == [
        (place / name).stat().st_size for name in ("README.md", "config.json", "model.safetensors")
    ]
    assert lake.sql("SELECT text FROM card").item() == CARD
    weights = (place / "model.safetensors").stat().st_size
    assert lake.sql("SELECT max(end_byte) FROM tensor").item() == weights
    assert reasons(lake) == {}
    assert examine(lake).is_empty()


@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        (lambda root: [repository(root / "a" / "x"), repository(root / "a" / "y")], ["local:a/x", "local:a/y"]),
        (lambda root: [repository(root / "x"), repository(root / "b" / "y")], ["local:b/y", "local:x"]),
        (lambda root: repository(root / "x" / "y" / "too deep") and repository(root / "z"), ["local:z"]),
        (lambda root: [repository(root / "a" / "ä b'\"")], ["local:a/ä b'\""]),
    ],
)
def test_repositories_are_found_one_or_two_folders_down(
    lake: Lake, tmp_path: Path, arrange: Callable[[Path], Any], expected: list[str]
) -> None:
    arrange(tmp_path / "models")
    mine(lake, "local", folder=tmp_path / "models")
    assert model_ids(lake) == expected


def test_a_note_beside_the_repositories_is_no_model_card(lake: Lake, tmp_path: Path) -> None:
    repository(tmp_path / "models" / "a" / "x")
    (tmp_path / "models" / "README.md").write_text("my models")
    (tmp_path / "models" / "a" / "README.md").write_text("my models")
    mine(lake, "local", folder=tmp_path / "models")
    assert model_ids(lake) == ["local:a/x"]


def test_one_repository_is_mined_by_its_own_folder(lake: Lake, tmp_path: Path) -> None:
    place = repository(tmp_path / "owner" / "model")
    mine(lake, "local", folder=place)
    assert model_ids(lake) == ["local:owner/model"]


def cached(cache: Path, name: str) -> Path:
    """Lay out a model as huggingface_hub's cache does: snapshots that link to blobs."""
    model = cache / f"models--{name.replace('/', '--')}"
    snapshot = model / "snapshots" / SHA
    source = repository(cache.parent / "source" / name)
    for folder in (model / "blobs", model / "refs", snapshot):
        folder.mkdir(parents=True)
    for file in source.iterdir():
        content = file.read_bytes()
        large = file.suffix == ".safetensors"
        blob = (hashlib.sha256 if large else hashlib.sha1)(content).hexdigest()
        (model / "blobs" / blob).write_bytes(content)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob)
    (model / "refs" / "main").write_text(SHA)
    return snapshot


@pytest.mark.parametrize("start", ["hub", ".", "hub/models--owner--na--me"])
def test_the_cache_of_huggingface_is_understood(lake: Lake, tmp_path: Path, start: str) -> None:
    snapshot = cached(tmp_path / "cache" / "hub", "owner/na--me")
    (snapshot.parents[1] / "snapshots" / ("f" * 40)).mkdir()
    mine(lake, "local", folder=tmp_path / "cache" / start)
    model = lake.sql("SELECT model_id, sha, location, parameters FROM model").row(0)
    assert model == ("local:owner/na--me", SHA, str(snapshot), 15)
    weights = (snapshot / "model.safetensors").read_bytes()
    assert dict(lake.sql("SELECT path, sha256 FROM file").iter_rows()) == {
        "model.safetensors": hashlib.sha256(weights).hexdigest(),
        "README.md": None,
        "config.json": None,
    }
    assert lake.sql("SELECT sha, source FROM revision").rows() == [(SHA, "cache")]
    assert reasons(lake) == {}


def test_links_that_lead_out_are_not_followed(lake: Lake, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"architectures": ["Secret"]}')
    place = repository(tmp_path / "models" / "owner" / "model")
    (place / "config.json").unlink()
    (place / "config.json").symlink_to(secret)
    (place / "folder").symlink_to(tmp_path)
    (place / "loop").symlink_to(place)
    (place / "dead").symlink_to("nowhere")
    (place / "circle").symlink_to("circle")
    (place / "inside.md").symlink_to("README.md")
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT architecture FROM model").item() is None
    assert lake.sql("SELECT path FROM file ORDER BY path")["path"].to_list() == [
        "README.md",
        "inside.md",
        "model.safetensors",
    ]
    found = {subject.rpartition("/")[2]: reason for subject, reason in reasons(lake).items()}
    assert set(found) == {"config.json", "folder", "loop", "dead", "circle"}
    assert "leads out" in found["config.json"]
    assert all(reason.startswith("file: ") for reason in found.values())


def test_a_link_out_of_a_cached_model_is_not_followed(lake: Lake, tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "hub", "owner/model")
    other = cached(tmp_path / "hub", "owner/other")
    (snapshot / "stolen.txt").symlink_to(other / "README.md")
    mine(lake, "local", folder=tmp_path / "hub")
    assert list(reasons(lake)) == ["local:owner/model/stolen.txt"]


@pytest.mark.parametrize("config", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_a_broken_configuration_is_a_failure_and_the_rest_is_mined(lake: Lake, tmp_path: Path, config: bytes) -> None:
    place = repository(tmp_path / "models" / "owner" / "model")
    (place / "config.json").write_bytes(config)
    crawl = mine(lake, "local", folder=tmp_path / "models")
    assert (crawl.rows_stored, crawl.tensors) == (1, 2)
    assert reasons(lake)["local:owner/model"].startswith("config: ")


def test_what_is_no_regular_file_or_not_what_it_claims_is_a_failure(lake: Lake, tmp_path: Path) -> None:
    place = repository(tmp_path / "models" / "owner" / "model")
    os.mkfifo(place / "pipe.safetensors")
    (place / "cut.safetensors").write_bytes((place / "model.safetensors").read_bytes()[:-1])
    (place / "README.md").write_bytes(b"caf\xe9")
    (place / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    mine(lake, "local", folder=tmp_path / "models")
    found = lake.sql("SELECT stage, reason FROM failure ORDER BY stage").rows()
    assert [stage for stage, _ in found] == ["file", "tensors"]
    assert "no regular file" in found[0][1]
    assert "cut.safetensors" in found[1][1]
    assert lake.sql("SELECT problems FROM card").item().to_list() == ["not UTF-8", "no front matter"]
    assert "caf\ufffd" in lake.sql("SELECT path FROM file")["path"].to_list()
    assert lake.sql("SELECT parameters FROM model").item() == 15


def test_shards_count_together_and_unrelated_weights_do_not(lake: Lake, tmp_path: Path) -> None:
    place = repository(tmp_path / "models" / "owner" / "sharded")
    (place / "model.safetensors").rename(place / "one.safetensors")
    save_file({"more": np.zeros(5, np.float32)}, place / "two.safetensors")
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT parameters FROM model").item() is None
    index = {"weight_map": {"weight": "one.safetensors", "bias": "one.safetensors", "more": "two.safetensors"}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    crawl = mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT parameters FROM model").item() == 20
    assert crawl.tensors == lake.sql("SELECT count(*) FROM tensor").item() == 3


def test_a_second_run_updates_and_marks_what_is_gone_and_only_that(lake: Lake, tmp_path: Path) -> None:
    for name in ("kept", "gone"):
        repository(tmp_path / "models" / "owner" / name)
    repository(tmp_path / "elsewhere" / "owner" / "other")
    mine(lake, "local", folder=tmp_path / "elsewhere")
    mine(lake, "local", folder=tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "owner" / "gone")
    (tmp_path / "models" / "owner" / "kept" / "README.md").write_text(CARD.replace("mit", "gpl-3.0"))
    mine(lake, "local", folder=tmp_path / "models")
    deleted = dict(lake.sql("SELECT name, deleted_at IS NOT NULL FROM model").iter_rows())
    assert deleted == {"kept": False, "gone": True, "other": False}
    assert lake.sql("SELECT kind, before, after FROM event").rows() == [("license", "mit", "gpl-3.0")]
    assert lake.sql("SELECT count(*) FROM card WHERE model_id = 'local:owner/kept'").item() == 1
    repository(tmp_path / "models" / "owner" / "gone")
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NOT NULL").item() == 0
    assert examine(lake).is_empty()


def test_many_files_in_a_deep_tree_are_listed(lake: Lake, tmp_path: Path) -> None:
    place = repository(tmp_path / "models" / "owner" / "model")
    deep = place.joinpath(*["deep"] * 40)
    deep.mkdir(parents=True)
    for number in range(20_000):
        (deep / str(number)).touch()
    (place / ".git").mkdir()
    (place / ".git" / "config").write_text("not theirs")
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT files FROM model").item() == lake.sql("SELECT count(*) FROM file").item() == 20_003


def test_a_folder_without_models_is_one_sentence(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent does not exist; name a folder"):
        mine(lake, "local", folder=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    with pytest.raises(UsageError, match="holds no model: expected folders owner/name"):
        mine(lake, "local", folder=tmp_path / "empty")
    assert lake.sql("SELECT count(*) FROM crawl").item() == 0
