"""What looks like a model in a folder and is none becomes no model, and a failure that is counted."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from miners.mining import mine
from schemas import DataError, Lake
from schemas.doctor import examine


def folder(tmp_path: Path) -> Path:
    """A folder of bare checkpoints, one of which is a model."""
    place = tmp_path / "runs" / "ckpt"
    place.mkdir(parents=True)
    save_file({"a": np.zeros((2, 5), np.float32)}, place / "good.safetensors")
    return place


def check(lake: Lake, place: Path, stray: str, reason: str) -> None:
    crawl = mine(lake, "local", folder=place)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (2, 1, 1)
    assert lake.sql("SELECT model_id FROM model")["model_id"].to_list() == ["local:ckpt/good.safetensors"]
    assert lake.sql("SELECT subject, stage, reason FROM failure").rows() == [(stray, "listing", reason)]
    assert examine(lake).is_empty()


@pytest.mark.parametrize("value", [{"epoch": 3}, [1, 2], {}, "text"])
def test_a_checkpoint_without_tensors_is_no_model(lake: Lake, tmp_path: Path, value: object) -> None:
    place = folder(tmp_path)
    torch.save(value, place / "notes.pt")
    check(lake, place, str(place / "notes.pt"), "notes.pt: it holds no tensors")


def test_a_plain_pickle_is_no_model(lake: Lake, tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "notes.pt").write_bytes(pickle.dumps({"epoch": 3}))
    crawl = mine(lake, "local", folder=place)
    assert (crawl.rows_stored, crawl.failures) == (1, 1)


def test_a_link_that_leads_out_is_no_model(lake: Lake, tmp_path: Path) -> None:
    place = folder(tmp_path)
    save_file({"secret": np.zeros(3, np.float32)}, tmp_path / "outside.safetensors")
    (place / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    stray = str(place / "link.safetensors")
    check(lake, place, stray, "link.safetensors: a link that leads out of the repository is not followed")


def test_a_name_with_a_line_break_is_no_models_name(lake: Lake, tmp_path: Path) -> None:
    place = folder(tmp_path)
    save_file({"a": np.zeros(3, np.float32)}, place / "two\nlines.safetensors")
    reason = "a model cannot be called 'ckpt/two\\nlines.safetensors': rename it without line breaks and the like"
    check(lake, place, str(place / "two lines.safetensors"), reason)


def test_a_folder_of_nothing_but_phantoms_is_an_error(lake: Lake, tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "notes.pt")
    with pytest.raises(DataError, match=r"notes\.pt: it holds no tensors"):
        mine(lake, "local", folder=tmp_path / "notes.pt")


def test_a_described_model_and_one_in_another_format_stay_models(lake: Lake, tmp_path: Path) -> None:
    for name, beside in (("described", "config.json"), ("keras", "model.h5")):
        (tmp_path / "owner" / name).mkdir(parents=True)
        (tmp_path / "owner" / name / beside).write_text("{}")
        torch.save({"epoch": 3}, tmp_path / "owner" / name / "notes.pt")
    assert mine(lake, "local", folder=tmp_path / "owner").rows_stored == 2


def test_a_file_with_code_beside_its_tensors_is_said_to_be_torchscript(lake: Lake, tmp_path: Path) -> None:
    place = folder(tmp_path)
    net = torch.nn.Linear(3, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated; people have such files
        torch.jit.save(torch.jit.script(net), place / "script.pt")
    torch.save(net.state_dict(), place / "state.pt")
    assert mine(lake, "local", folder=place).rows_stored == 3
    facts = lake.sql("SELECT model_id, kind, key, value FROM weights_metadata WHERE key = 'container'").rows()
    assert facts == [("local:ckpt/script.pt", "metadata", "container", "TorchScript")]
