"""What strangers read of a dataset on a hub, by its id: `datasets`, and DuckDB under hf://, without this project.

DuckDB reads hf:// through the Hub's own file system for Python, registered in DuckDB. Its extension httpfs, which knows
hf:// without that, asks for the Hub's one address and cannot be pointed at a test hub.
"""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from schemas import Lake, open_lake
from tests.hub import TestHub
from zoo import publish_population
from zoo.families import SPLITS

REPOSITORY = "ada/phases-zoo"
PROGRAM = """
import json, sys
for name in ("zoo", "schemas", "miners", "learners", "commands"):
    sys.modules[name] = None
import datasets, duckdb
from huggingface_hub import HfFileSystem

name = sys.argv[1]
datasets.disable_progress_bars()
found = {config: datasets.load_dataset(name, config) for config in datasets.get_dataset_config_names(name)}
streamed = datasets.load_dataset(name, "pairs", streaming=True)
duckdb.register_filesystem(HfFileSystem())
tables = {config: f"'hf://datasets/{name}/{config}/*.parquet'" for config in found}
asked = {
    "counts": [[each, *duckdb.sql(f"SELECT count(*) FROM {table}").fetchall()[0]] for each, table in tables.items()],
    "phases": duckdb.sql(
        "SELECT phase, count(DISTINCT model_id), max(test_accuracy) "
        f"FROM {tables['models']} GROUP BY ALL ORDER BY ALL"
    ).fetchall(),
    "traces": duckdb.sql(
        f"SELECT width, sum(value) FROM {tables['measurements']} JOIN {tables['models']} USING (model_id) "
        "WHERE metric = 'hessian_trace' GROUP BY ALL ORDER BY ALL"
    ).fetchall(),
}
rows = {config: {split: list(part) for split, part in parts.items()} for config, parts in found.items()}
print(json.dumps({"rows": rows, "streamed": {s: list(part) for s, part in streamed.items()}, **asked}, default=str))
"""
CELLS = [(3.0, 4.0, "I", 0.9), (3.0, 8.0, "II", 0.8), (4.0, 4.0, "IV-A", 0.7), (4.0, 8.0, "IV-B", 0.6)]


@pytest.fixture(scope="module")
def measured(undisturbed: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The tiny population with everything that a phase map leaves in a lake."""
    folder = tmp_path_factory.mktemp("measured") / "lake"
    shutil.copytree(undisturbed.path, folder)
    lake = open_lake(folder)
    ids = lake.sql("SELECT model_id FROM member ORDER BY model_id")["model_id"].to_list()
    settings = {"settings": '{"batch": 60}', "seed": 0, "samples": 60, "standard_error": 0.1}
    metrics = [
        {
            "model_id": name,
            "metric": metric,
            "split": "train",
            "value": number + 0.25,
            "standard_error": 0.1,
            **settings,
        }
        for number, name in enumerate(ids)
        for metric in ("loss", "error", "hessian_trace")
    ]
    pairs = [
        {"first_id": first, "second_id": second, "metric": "cka", "split": "test", "value": 0.5, **settings}
        for first in ids
        for second in ids
        if first < second
    ]
    cells = pl.DataFrame(CELLS, schema=["load", "temperature", "phase", "probability"], orient="row")
    axes = {"load_axis": pl.lit("width"), "temperature_axis": pl.lit("batch_size"), "rule": pl.lit("taxonomy")}
    population_id = lake.sql("SELECT population_id FROM population").item()
    with lake.write() as transaction:
        transaction.append("measurement", pl.DataFrame(metrics))
        transaction.append("pair_measurement", pl.DataFrame(pairs))
        transaction.append("cell_phase", cells.with_columns(population_id=pl.lit(population_id), **axes))
    return lake


@pytest.fixture(scope="module")
def read(measured: Lake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a stranger's process has read."""
    folder = tmp_path_factory.mktemp("strangers")
    publish_population(measured, "tiny", folder / "hub" / "datasets" / REPOSITORY, license_id="cc-by-4.0")
    with TestHub(uploads=folder / "hub", large_files="elsewhere") as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, REPOSITORY],
            cwd=folder,
            env={**environment, "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_configuration_is_filled_and_loads_by_its_id(measured: Lake, read: dict[str, Any]) -> None:
    filled = {config: sum(map(len, splits.values())) for config, splits in read["rows"].items()}
    assert filled == {
        "models": 8,
        "training": measured.sql("SELECT count(*) AS n FROM training").item(),
        "measurements": 24,
        "pairs": 28,
        "phases": 4,
        "populations": 1,
        "tensors": 8 * 3 * 6,
    }
    assert read["rows"]["pairs"] == read["streamed"]


def test_measurements_come_with_their_settings_and_errors(measured: Lake, read: dict[str, Any]) -> None:
    query = "SELECT model_id, metric, split, value, standard_error, samples, settings::VARCHAR AS settings, seed"
    expected = measured.sql(f"{query} FROM measurement ORDER BY ALL").rows()
    names = ("model_id", "metric", "split", "value", "standard_error", "samples", "settings", "seed")
    found = [tuple(row[name] for name in names) for part in read["rows"]["measurements"].values() for row in part]
    assert sorted(found) == expected


def test_a_pair_is_in_the_split_of_whichever_model_is_held_out(measured: Lake, read: dict[str, Any]) -> None:
    split_of = {row["model_id"]: split for split, part in read["rows"]["models"].items() for row in part}
    assert set(split_of.values()) == set(SPLITS)
    for split, part in read["rows"]["pairs"].items():
        for row in part:
            both = {split_of[row["first_id"]], split_of[row["second_id"]]}
            assert split == ("test" if "test" in both else "validation" if "validation" in both else "train")
    for config in ("training", "measurements", "tensors"):
        for split, part in read["rows"][config].items():
            assert {split_of[row["model_id"]] for row in part} == {split}, config


def test_duckdb_reads_the_same_under_hf(measured: Lake, read: dict[str, Any]) -> None:
    assert dict(read["counts"]) == {config: sum(map(len, parts.values())) for config, parts in read["rows"].items()}
    best = measured.sql("SELECT width, batch_size, max(test_accuracy) AS best FROM models GROUP BY ALL ORDER BY ALL")[
        "best"
    ]
    assert read["phases"] == [[phase, 2, value] for (*_, phase, _), value in zip(CELLS, best, strict=True)]
    traces = "SELECT width, sum(value) FROM measurement JOIN member USING (model_id) WHERE metric = 'hessian_trace'"
    assert read["traces"] == [list(row) for row in measured.sql(f"{traces} GROUP BY ALL ORDER BY ALL").rows()]
