"""What a repair mends, what it leaves alone, and what the doctor says before and after."""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas import Lake, UsageError, examine, open_lake, repair
from tests.conftest import ROOT
from tests.tiny_population import built
from zoo import export_population, import_population
from zoo.recipe import Recipe

OLD = time.time() - 7200


def test_equal_rows_become_one_and_different_ones_stay(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["a:b", "a:b", "a:c", "a:c"], "likes": [1, 1, 2, 3]}))
        transaction.append("tag", pl.DataFrame({"model_id": ["a:b"] * 3, "tag": ["x", "x", "y"]}))  # kind is NULL
    assert repair(lake).rows() == [
        ("equal rows made one", "model", 1),
        ("equal rows made one", "tag", 1),
    ]
    assert lake.sql("SELECT model_id, likes FROM model ORDER BY ALL").rows() == [("a:b", 1), ("a:c", 2), ("a:c", 3)]
    assert lake.sql("SELECT tag FROM tag ORDER BY ALL")["tag"].to_list() == ["x", "y"]
    assert lake.sql("SELECT model_id FROM model WHERE model_id = 'a:b'").height == 1  # by the index
    assert examine(lake)["check"].to_list() == ["unique"]
    assert repair(lake).is_empty()


def test_rows_go_whose_model_nothing_can_bring_back(lake: Lake) -> None:
    tables = ("tag", "training", "member", "measurement", "product", "checkpoint", "stitch")
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["a:b"]}))
        for table in tables:
            transaction.append(table, pl.DataFrame({"model_id": ["zoo:gone/m", None, "a:b"]}))
        transaction.append(
            "lineage", pl.DataFrame({"child_id": ["a:gone", "a:b"], "parent_id": ["a:b", "a:elsewhere"]})
        )
        pairs = pl.DataFrame({"first_id": ["a:b", "a:b"], "second_id": ["a:b", "a:gone"]})
        transaction.append("pair_measurement", pairs)
        transaction.append("sitting", pl.DataFrame({"population_id": ["gone"]}))
    looked = examine(lake)["problem"].to_list()
    assert "2 models of training have no row in model; --repair deletes these rows" in looked
    mended = {what: count for repair, what, count in repair(lake).rows() if "deleted" in repair}
    assert mended == dict.fromkeys(tables, 2) | {"lineage": 1, "pair_measurement": 1, "sitting": 1, "member": 1}
    for table in tables[:2]:
        assert lake.sql(f"SELECT model_id FROM {table}")["model_id"].to_list() == ["a:b"]
    assert lake.sql("SELECT second_id FROM pair_measurement")["second_id"].to_list() == ["a:b"]
    assert repair(lake).is_empty()


def test_rows_stay_whose_model_the_same_build_brings_back(copied: Lake, recipe: Recipe) -> None:
    before = {
        table: copied.sql(f"FROM {table} ORDER BY ALL") for table in ("model", "member", "training", "checkpoint")
    }
    with copied.write() as transaction:
        transaction.sql("DELETE FROM model WHERE model_id = (SELECT min(model_id) FROM model)")
    problem = "1 model of training has no row in model; the same build or merge again brings back what is missing"
    assert problem in examine(copied)["problem"].to_list()
    assert repair(copied).is_empty()
    built(copied, recipe)
    assert examine(copied).is_empty()
    for table, rows in before.items():
        assert copied.sql(f"FROM {table} ORDER BY ALL").equals(rows), table


def test_of_equal_measurements_the_earliest_stays(lake: Lake) -> None:
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 2)]
    values = {"model_id": ["a:b"] * 3, "metric": ["loss"] * 3, "measured_at": times, "settings": ['{"x": 1}'] * 3}
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["a:b"]}))
        transaction.append("measurement", pl.DataFrame(values | {"value": [1.0, 1.0, 1.0]}))
        other = {"metric": ["error"] * 3, "value": [1.0, 2.0, 2.0]}
        transaction.append("measurement", pl.DataFrame(values | other))
    assert repair(lake).rows() == [("equal rows made one", "measurement", 3)]
    kept = lake.sql("SELECT metric, value, day(measured_at AT TIME ZONE 'UTC') FROM measurement ORDER BY ALL").rows()
    assert kept == [("error", 1.0, 3), ("error", 2.0, 1), ("loss", 1.0, 1)]
    assert examine(lake)["example"].to_list() == ['a:b, None, error, None, {"x": 1}, None, 2']


def test_only_old_leftovers_are_deleted(lake: Lake, tmp_path: Path) -> None:
    old, new = (lake.weights.folder / "p" / f".{name}.safetensors.1-1.unfinished" for name in ("old", "new"))
    old.parent.mkdir(parents=True)
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (OLD, OLD))
    outside = tmp_path / "outside"
    outside.touch()
    os.utime(outside, (OLD, OLD))
    (old.parent / ".link.1-1.unfinished").symlink_to(outside)
    assert repair(lake).rows() == [("left half written, deleted", str(old), 1)]
    assert (old.exists(), new.exists(), outside.exists()) == (False, True, True)


IMPORTING = """
import sys, time
from schemas import open_lake
from zoo import import_population
lake, zoo = sys.argv[1:]
import_population(open_lake(lake), zoo, "half", progress=lambda *told: print("half way", flush=True) or time.sleep(100))
"""


def test_an_import_that_was_killed_leaves_nothing_for_long(undisturbed: Lake, lake: Lake, tmp_path: Path) -> None:
    export_population(undisturbed, "SELECT model_id FROM member", tmp_path / "zoo", format="state-dicts")
    running = subprocess.Popen(
        [sys.executable, "-c", IMPORTING, lake.path, tmp_path / "zoo"], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "half way\n"
    running.kill()
    running.communicate()
    (left,) = lake.weights.folder.iterdir()
    (left / "part.safetensors").touch()
    assert examine(lake).rows() == [("files", examine(lake)["problem"][0], str(left))]
    assert repair(lake).is_empty()  # somebody might still be at it
    for path in (*left.iterdir(), left):
        os.utime(path, (OLD, OLD))
    population_id = import_population(lake, tmp_path / "zoo", "whole")
    assert [path.name for path in lake.weights.folder.iterdir()] == [population_id]
    shutil.copytree(lake.weights.folder / population_id, left)
    for path in (*left.iterdir(), left):
        os.utime(path, (OLD, OLD))
    assert repair(lake).rows() == [("left half written, deleted", str(left), 1)]
    assert examine(lake).is_empty()


def test_a_lake_opened_for_reading_is_not_repaired(lake: Lake) -> None:
    with pytest.raises(UsageError, match="needs to write"):
        repair(open_lake(lake.path, read_only=True))


def doctor(*arguments: object, path: Path = ROOT) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "weightlake", "doctor", *map(str, arguments), "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=path)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def test_the_command_repairs_and_says_what_is_left(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame({"model_id": ["a:b", "a:b"]}))
        transaction.append("model", pl.DataFrame({"model_id": ["zoo:made/by-hand"], "hub": ["zoo"]}))
    code, looked = doctor("--lake", lake.path)
    assert (code, looked["repaired"]) == (1, [])
    assert [finding["check"] for finding in looked["findings"]] == ["unique", "orphans"]
    code, mended = doctor("--lake", lake.path, "--repair")
    assert code == 1
    assert mended["repaired"] == [{"repair": "equal rows made one", "what": "model", "count": 1}]
    assert [finding["check"] for finding in mended["findings"]] == ["orphans"]
    assert mended["environment"]["zoo imported from"] == str(ROOT / "zoo")
    assert mended["environment"]["models"] == "2"


def test_a_package_of_the_same_name_that_hides_ours_is_found(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").touch()
    code, looked = doctor("--lake", lake.path, path=tmp_path)
    assert code == 1
    assert [(finding["check"], finding["example"]) for finding in looked["findings"]] == [
        ("imports", str(tmp_path / "zoo"))
    ]
