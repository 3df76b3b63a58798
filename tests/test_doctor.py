"""The doctor finds every kind of damage and calls a sound lake sound."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from schemas import Lake, examine, open_lake, repair
from schemas.ghosts import OF_A_MODEL
from schemas.lying import OF_A_STITCHING, STITCHING
from schemas.unique import MAY_REPEAT, UNIQUE, WHOLE
from zoo import publish_population
from zoo.publishing.sending import Destination
from zoo.results import failure_file, progress_file, result_file, state_file


def healthy(lake: Lake) -> None:
    digest = lake.weights.write("p/a.safetensors", {"w": torch.ones(1, 2)})
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["zoo:p/a"], "hub": ["zoo"]}))
        transaction.append("population", pl.DataFrame({"population_id": ["p"]}))
        transaction.append("member", pl.DataFrame({"model_id": ["zoo:p/a"], "population_id": ["p"]}))
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
        problem = "missing, with the weights of 1 model; put it back, or build or make them again"
        assert examine(lake, weights=whole).rows() == [("weights", problem, "p/a.safetensors")]


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


def test_the_files_of_a_merge_are_no_stray_shards_and_others_beside_them_are(lake: Lake) -> None:
    lake.weights.write("made/merge/m/model.safetensors", {"w": torch.ones(2)})
    assert examine(lake)["check"].to_list() == ["weights"]
    home = str(lake.weights.folder / "made" / "merge" / "m")
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["made:merge/m"], "hub": ["made"], "location": [home]}))
        transaction.append("product", pl.DataFrame({"model_id": ["made:merge/m"]}))
    assert examine(lake).is_empty()
    with lake.write() as transaction:
        transaction.append("tensor", pl.DataFrame({"model_id": ["made:merge/m"], "path": ["model.safetensors"]}))
    assert examine(lake).is_empty()
    lake.weights.write("made/merge/m/another.safetensors", {"w": torch.ones(2)})
    assert examine(lake)["example"].to_list() == ["made/merge/m/another.safetensors"]
    (lake.weights.folder / "made" / "merge" / "m" / "another.safetensors").rename(lake.weights.folder.parent / "away")
    lake.weights.path("made/merge/m/model.safetensors").unlink()
    problem = "missing, with tensors of a merged model; make the merge again"
    assert examine(lake).rows() == [("weights", problem, str(Path(home).resolve() / "model.safetensors"))]


def test_every_table_is_looked_through_for_rows_that_stand_twice(undisturbed: Lake) -> None:
    tables = undisturbed.sql("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")["table_name"]
    assert sorted([*UNIQUE, *MAY_REPEAT]) == sorted(tables)
    columns = undisturbed.sql("SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main'").rows()
    assert {(table, name) for table, key in UNIQUE.items() if key != WHOLE for name in key.split(", ")} <= {*columns}
    of_models = {(table, name) for table, names in OF_A_MODEL.items() for name in names.split(", ")}
    named = {
        (table, name) for table, name in columns if table in tables and name in ("model_id", "child_id", "first_id")
    }
    exempt = {("model", "model_id"), ("trial", "model_id"), ("soup_comparison", "model_id")}  # of candidates, NULL too
    assert named - exempt == of_models - {("pair_measurement", "second_id")}


def test_a_row_that_stands_twice_is_found_and_mended_in_every_table(lake: Lake) -> None:
    with lake.write() as transaction:
        for table in UNIQUE:
            if transaction.sql(f"FROM {table} LIMIT 1").is_empty():
                transaction.sql(f"INSERT INTO {table} DEFAULT VALUES")
            transaction.sql(f"INSERT INTO {table} FROM {table} LIMIT 1")
    problems = examine(lake).filter(check="unique")["problem"].to_list()
    assert len(problems) == len(UNIQUE)
    for table, problem in zip(UNIQUE, problems, strict=True):
        assert re.fullmatch(rf"1 (row|value) of {table}(\(.*\))? stands there more than once", problem)
    mended = repair(lake).filter(repair="equal rows made one")
    assert dict(mended.select("what", "count").rows()) == dict.fromkeys(UNIQUE, 1)
    assert examine(lake).filter(check="unique").is_empty()


def test_files_that_belong_to_nothing_are_found_below_weights_and_raw_answers(lake: Lake) -> None:
    healthy(lake)
    with lake.write() as transaction:
        transaction.append("crawl", pl.DataFrame({"crawl_id": ["known"]}))
    for place in ("known/page.parquet", "lock-known", "0123456789abcdef/models.parquet", "gone/page-1.parquet"):
        (lake.raw / "huggingface" / place).parent.mkdir(parents=True, exist_ok=True)
        (lake.raw / "huggingface" / place).touch()
    (lake.raw / "huggingface" / "0123456789abcdef" / ".models.parquet.mark").touch()
    (lake.raw / "huggingface" / "gone" / "page-2.parquet").touch()
    (lake.raw / "notes.txt").touch()
    (lake.weights.folder / "p" / "notes.txt").touch()
    (lake.weights.folder / "q").mkdir()
    for name in ("population.json", "w2-b4.json", "build.lock"):
        (lake.weights.folder / "q" / name).touch()
    assert examine(lake).select("check", "example").rows() == [
        ("files", "p/notes.txt"),
        ("files", "huggingface/gone/page-1.parquet"),
        ("files", "notes.txt"),
    ]
    assert "(and 1 beside it)" in examine(lake)["problem"][1]
    assert repair(lake).is_empty()
    assert (lake.raw / "huggingface" / "gone" / "page-2.parquet").exists()


def test_what_an_ended_upload_has_left_is_found(undisturbed: Lake, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.path, tmp_path / "lake")
    lake = open_lake(tmp_path / "lake")
    (population,) = lake.sql("SELECT population_id FROM population")["population_id"]
    folder = Destination(lake, "hf:a/b").folder  # what an upload writes first
    publish_population(lake, population, folder, license_id="mit")
    assert (folder / "README.md").exists()
    problem = "of an upload that was ended or still runs; publish the same again, which sends the rest, or delete it"
    assert examine(lake).rows() == [("files", problem, "published/a--b")]
    assert repair(lake).is_empty()


def test_models_that_nothing_made_are_found(lake: Lake) -> None:
    with lake.write() as transaction:
        ids = ["zoo:p/a", "made:soup/s", "huggingface:a/b"]
        transaction.append("model", pl.DataFrame({"model_id": ids, "hub": ["zoo", "made", "huggingface"]}))
    assert examine(lake).rows() == [
        ("orphans", "2 models of the hubs zoo and made without a row in member or product", "made:soup/s")
    ]


def copy_of(undisturbed: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(undisturbed.path, tmp_path / "lake")
    return open_lake(tmp_path / "lake")


@pytest.mark.parametrize("row", ["999", "-1", "NULL"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_row_that_no_shard_has_is_found(undisturbed: Lake, tmp_path: Path, row: str, whole: bool) -> None:
    lake = copy_of(undisturbed, tmp_path)
    assert examine(lake, weights=whole).is_empty()
    model_id, shard = lake.sql("SELECT model_id, shard FROM checkpoint WHERE final ORDER BY ALL LIMIT 1").row(0)
    members = len(next(iter(lake.weights.read(shard).values())))
    with lake.write() as transaction:
        transaction.sql(f"UPDATE checkpoint SET row = {row} WHERE final AND model_id = $id", id=model_id)
    said = "no row" if row == "NULL" else f"row {row}"
    problem = f"a checkpoint is said to be {said} of {shard}, which has rows 0 to {members - 1}; "
    assert examine(lake, weights=whole).rows() == [
        ("weights", problem + "build, import or make that model again", model_id)
    ]


def test_a_member_without_its_weights_is_found(undisturbed: Lake, tmp_path: Path) -> None:
    lake = copy_of(undisturbed, tmp_path)
    one, other, *_ = lake.sql("SELECT model_id FROM member ORDER BY ALL")["model_id"]
    with lake.write() as transaction:
        transaction.sql("DELETE FROM checkpoint WHERE model_id = $id", id=one)
    problem = "1 trained member without a final checkpoint; build or import again what they are of"
    assert examine(lake).rows() == [("weights", problem, one)]
    with lake.write() as transaction:
        transaction.sql("UPDATE checkpoint SET final = false WHERE model_id = $id", id=other)
    assert examine(lake).rows() == [("weights", problem.replace("1 trained member", "2 trained members"), one)]
    with lake.write() as transaction:
        transaction.sql("DELETE FROM member WHERE model_id = $id", id=one)
        transaction.sql("DELETE FROM model WHERE model_id = $id", id=one)
        transaction.sql("UPDATE checkpoint SET final = true WHERE model_id = $id", id=other)
    found = examine(lake).filter(check="weights").rows()
    assert found == [("weights", "1 trained member with several final checkpoints; only one can be", other)]


def test_what_no_build_writes_is_found_in_its_folder(undisturbed: Lake, tmp_path: Path) -> None:
    """Everything that a build writes is known; anything else beside it is named."""
    lake = copy_of(undisturbed, tmp_path)
    (population,) = lake.sql("SELECT population_id FROM population")["population_id"]
    weights = lake.weights.folder
    for of in (result_file, state_file, progress_file, failure_file):
        of(weights, population, "w9-b9").touch()
    for name in ("build.plan", "build.lock"):
        (weights / population / name).touch()
    assert examine(lake).is_empty()
    shard = lake.sql("SELECT min(shard) AS shard FROM checkpoint").item()
    shutil.copy(weights / shard, weights / f"{shard}.bak")
    problem = "belongs to nothing in the lake; move it elsewhere or delete it"
    assert examine(lake).rows() == [("files", problem, f"{shard}.bak")]


def test_what_a_stitching_goes_on_from_is_no_stray_until_the_network_is_there(lake: Lake) -> None:
    kept = f"{STITCHING}/2-anchors-0{OF_A_STITCHING}"
    digest = lake.weights.write(kept, {"w": torch.ones(1, 2)})
    assert examine(lake).is_empty()
    lake.weights.write(f"elsewhere/2-anchors-0{OF_A_STITCHING}", {"w": torch.ones(1, 2)})
    assert examine(lake)["example"].to_list() == [f"elsewhere/2-anchors-0{OF_A_STITCHING}"]
    (lake.weights.folder / f"elsewhere/2-anchors-0{OF_A_STITCHING}").unlink()

    shard = f"{STITCHING}/2-anchors-0.safetensors"
    assert digest == lake.weights.write(shard, {"w": torch.ones(1, 2)})
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["made:stitch/2-anchors-0"], "hub": ["made"]}))
        checkpoint = {"model_id": "made:stitch/2-anchors-0", "epoch": 0, "final": True, "shard": shard, "row": 0}
        transaction.append("checkpoint", pl.DataFrame([checkpoint | {"shard_sha256": digest}]))
    assert kept in examine(lake)["example"].to_list()
