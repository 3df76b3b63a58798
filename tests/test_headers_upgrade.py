"""A lake of the time when only the tensors of safetensors files were kept."""

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from safetensors.numpy import save_file

from miners.mining import mine
from schemas import open_lake
from schemas.migrate import RECORD, migrations
from schemas.mined import merge_tensors
from tests.hub import TestHub

BEFORE = 3


def older_lake(folder: Path, model_id: str) -> None:
    folder.mkdir()
    with duckdb.connect(str(folder / "lake.duckdb")) as connection:
        connection.execute(RECORD)
        for number, (name, sql) in migrations().items():
            if number <= BEFORE:
                connection.execute(sql)
                connection.execute("INSERT INTO migration VALUES (?, ?, now())", [number, name])
        connection.execute("INSERT INTO model (model_id, hub, name) VALUES (?, 'huggingface', 'x')", [model_id])
        connection.execute("INSERT INTO fetched (model_id, what, outcome) VALUES (?, 'tensors', 'stored')", [model_id])
        connection.execute(
            "INSERT INTO tensor (model_id, path, name) VALUES (?, 'old.safetensors', 'gone')", [model_id]
        )


def test_what_was_read_before_is_asked_for_again_and_replaced(tmp_path: Path) -> None:
    older_lake(tmp_path / "lake", "huggingface:owner/model")
    place = tmp_path / "hub" / "owner" / "model"
    place.mkdir(parents=True)
    save_file({"w": np.zeros((2, 3), np.float32)}, place / "model.safetensors")
    lake = open_lake(tmp_path / "lake")
    assert lake.sql("SELECT format, main, files, tensors, fingerprint FROM weights").rows() == [
        ("safetensors", False, 1, 1, None)
    ]
    with TestHub(repositories=tmp_path / "hub") as hub:
        mine(lake, "huggingface", endpoint=hub.url, tensors=True)
    assert lake.sql("SELECT path, name FROM tensor").rows() == [("model.safetensors", "w")]
    assert lake.sql("SELECT main, tensors, parameters FROM weights").rows() == [(True, 1, 6)]


def test_tensors_of_models_that_were_not_asked_for_stay(tmp_path: Path) -> None:
    older_lake(tmp_path / "lake", "huggingface:owner/model")
    lake = open_lake(tmp_path / "lake")
    with lake.write() as transaction:
        merge_tensors(transaction, ["huggingface:owner/other"], {})
    assert lake.sql("SELECT name FROM tensor")["name"].to_list() == ["gone"]
    with lake.write() as transaction:
        merge_tensors(transaction, ["huggingface:owner/model"], {"failure": pl.DataFrame({"stage": ["tensors"]})})
    assert lake.sql("SELECT name FROM tensor").is_empty()
    assert lake.sql("SELECT format FROM weights").is_empty()
    assert lake.sql("SELECT stage FROM failure")["stage"].to_list() == ["tensors"]
