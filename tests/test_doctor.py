"""The doctor finds every kind of damage and calls a sound lake sound."""

import polars as pl
import torch

from schemas import Lake, examine


def healthy(lake: Lake) -> None:
    digest = lake.weights.write("p/a.safetensors", {"w": torch.ones(1, 2)})
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["zoo:p/a"], "hub": ["zoo"]}))
        checkpoint = {"model_id": "zoo:p/a", "epoch": 1, "final": True, "shard": "p/a.safetensors", "row": 0}
        transaction.append("checkpoint", pl.DataFrame([checkpoint | {"shard_sha256": digest}]))


def test_a_sound_lake_is_sound(lake: Lake) -> None:
    healthy(lake)
    assert examine(lake).is_empty()


def test_damage_is_found_and_named(lake: Lake) -> None:
    healthy(lake)
    with lake.write() as transaction:
        transaction.sql("INSERT INTO model SELECT * FROM model")
        transaction.append("tag", pl.DataFrame({"model_id": ["huggingface:gone/gone"], "tag": ["x"]}))
        transaction.sql(
            "INSERT INTO crawl (crawl_id, state, rows_seen, rows_stored, failures) VALUES ('c', 'finished', 3, 1, 1)"
        )
    path = lake.weights.path("p/a.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    lake.weights.write("p/unknown.safetensors", {"w": torch.ones(1, 2)})
    found = examine(lake)
    assert found["check"].to_list() == ["unique", "orphans", "counts", "weights", "weights"]
    assert found["example"].to_list() == [
        "zoo:p/a, 2",
        "huggingface:gone/gone",
        "c",
        "p/a.safetensors",
        "p/unknown.safetensors",
    ]
    assert "damaged: its SHA-256" in found["problem"][3]
    assert examine(lake, weights=False)["check"].to_list() == ["unique", "orphans", "counts", "weights"]


def test_a_missing_shard_is_found(lake: Lake) -> None:
    healthy(lake)
    lake.weights.path("p/a.safetensors").unlink()
    for whole in (True, False):
        assert "is missing; delete it, then build" in examine(lake, weights=whole)["problem"][0]


def test_a_truncated_shard_is_found_without_reading_it_whole(lake: Lake) -> None:
    healthy(lake)
    path = lake.weights.path("p/a.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert "is damaged" in examine(lake, weights=False)["problem"][0]


def test_one_bad_row_does_not_hide_the_others(lake: Lake) -> None:
    healthy(lake)
    with lake.write() as transaction:
        transaction.sql("UPDATE checkpoint SET shard = '../outside.safetensors'")
    (lake.weights.folder / "p" / ".a.safetensors.1-1.unfinished").touch()
    assert examine(lake)["check"].to_list() == ["weights", "files", "weights"]


def test_the_files_of_a_merge_are_no_stray_shards(lake: Lake) -> None:
    lake.weights.write("made/merge/m/model.safetensors", {"w": torch.ones(2)})
    assert examine(lake)["check"].to_list() == ["weights"]
    home = str(lake.weights.folder / "made" / "merge" / "m")
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["made:merge/m"], "hub": ["made"], "location": [home]}))
    assert examine(lake).is_empty()
