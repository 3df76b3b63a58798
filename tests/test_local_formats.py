"""Folders on disk with weights in every format: the same readers, and nothing that a pickle says is run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from miners.mining import mine
from schemas import Lake
from schemas.doctor import examine
from tests.mined_models import Bomb
from tests.weight_file import ARRAYS, one_of_each, torch_file


def repository(folder: Path, name: str, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        place = folder / "owner" / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def test_every_format_is_read_from_a_folder(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    for path, content in one_of_each(tmp_path / "made").items():
        repository(tmp_path / "models", path.replace(".", "-"), {path: content, "config.json": b"{}"})
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT * FROM failure").is_empty()
    found = "SELECT name, format, tensors, weights.parameters, main FROM weights JOIN model USING (model_id)"
    assert sorted(lake.sql(found).rows()) == [
        ("model-gguf", "gguf", 2, 15, True),
        ("model-npy", "numpy", 1, 12, True),
        ("model-npz", "numpy", 2, 15, True),
        ("model-onnx", "onnx", 2, 15, True),
        ("model-pt", "pickle", 2, 15, True),
        ("model-safetensors", "safetensors", 2, 15, True),
        ("packed-npz", "numpy", 2, 15, True),
    ]
    assert lake.sql("SELECT count(*) FROM weights JOIN model USING (model_id, parameters)").item() == 7
    same = (
        "SELECT model_id FROM weights JOIN (SELECT mode(fingerprint) AS fingerprint FROM weights) USING (fingerprint)"
    )
    assert lake.sql(same).height == 5  # not the sole array, nor the checkpoint with its state_dict
    assert examine(lake).is_empty()


def test_a_pickle_is_followed_and_not_loaded(lake: Lake, tmp_path: Path) -> None:
    files = {"pytorch_model.bin": torch_file({"bomb": Bomb(tmp_path / "went-off"), "w": torch.zeros(2, 3)})}
    repository(tmp_path / "models", "bomb", files)
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT name, dtype, shape FROM tensor").rows() == [("w", "F32", [2, 3])]
    assert not (tmp_path / "went-off").exists()


def test_pickles_beside_safetensors_are_not_looked_at(lake: Lake, tmp_path: Path) -> None:
    files = {"model.safetensors": save(ARRAYS), "pytorch_model.bin": b"damaged", "sub/weights.pth": b"damaged too"}
    repository(tmp_path / "models", "model", files)
    mine(lake, "local", folder=tmp_path / "models")
    reasons = lake.sql("SELECT reason FROM failure")["reason"].to_list()
    assert len(reasons) == 1
    assert reasons[0].startswith("sub/weights.pth: ")
    assert lake.sql("SELECT parameters FROM model").item() == 15


def test_a_large_file_is_read_without_its_weights(lake: Lake, tmp_path: Path) -> None:
    content = save({"w": np.zeros(1, np.int8)})
    header = content[:-1].replace(b"[1]", b"[4000000000]").replace(b"[0,1]", b"[0,4000000000]")
    header = (len(header) - 8).to_bytes(8, "little") + header[8:]
    repository(tmp_path / "models", "sparse", {"model.safetensors": header})
    with (tmp_path / "models" / "owner" / "sparse" / "model.safetensors").open("r+b") as opened:
        opened.truncate(len(header) + 4_000_000_000)  # takes no room on the disk
    mine(lake, "local", folder=tmp_path / "models")
    assert lake.sql("SELECT parameters FROM model").item() == 4_000_000_000


@pytest.mark.data
def test_real_weights_make_groups_of_one_architecture(lake: Lake, data_folder: Path) -> None:
    mine(lake, "local", folder=data_folder / "weights")
    files = len(list((data_folder / "weights").rglob("*.safetensors")))
    assert lake.sql("SELECT count(DISTINCT (model_id, path)) FROM tensor").item() == files
    assert lake.sql("SELECT * FROM failure WHERE stage = 'tensors'").is_empty()
