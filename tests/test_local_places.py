"""Which folders are models: of equal names, unreadable, beside stray files, or with times that no calendar has."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from miners.local import _time
from miners.mining import mine
from schemas import Lake
from tests.conftest import ROOT

AS_ANYBODY = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]  # root, too, obeys a folder's rights then
MINE = """
import sys
from miners import mine
from schemas import open_lake
mine(open_lake(sys.argv[1]), "local", folder=sys.argv[2])
"""


def repository(place: Path, tensor: str = "weight") -> Path:
    place.mkdir(parents=True)
    save_file({tensor: np.zeros(3, np.float32)}, place / "model.safetensors")
    return place


def models(lake: Lake) -> list[tuple[str, str]]:
    return lake.sql("SELECT model_id, location FROM model WHERE deleted_at IS NULL ORDER BY ALL").rows()


def failures(lake: Lake) -> list[tuple[str, str, str]]:
    return lake.sql("SELECT subject, stage, reason FROM failure ORDER BY ALL").rows()


def test_two_folders_with_a_model_of_one_name_do_not_pass_for_one(lake: Lake, tmp_path: Path) -> None:
    first = repository(tmp_path / "one" / "owner" / "model", "first")
    second = repository(tmp_path / "two" / "owner" / "model", "second")
    mine(lake, "local", folder=tmp_path / "one")
    crawl = mine(lake, "local", folder=tmp_path / "two")
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (1, 0, 1)
    assert models(lake) == [("local:owner/model", str(first))]
    assert lake.sql("SELECT name FROM tensor")["name"].to_list() == ["first"]
    [(subject, stage, reason)] = failures(lake)
    assert (subject, stage) == (str(second), "listing")
    assert reason == f"local:owner/model is already the model in {first}; rename one of the two folders"
    (first / "model.safetensors").unlink()
    first.rmdir()
    mine(lake, "local", folder=tmp_path / "two")
    assert models(lake) == [("local:owner/model", str(second))]
    assert lake.sql("SELECT name FROM tensor")["name"].to_list() == ["second"]


def test_names_that_look_the_same_once_they_are_text_are_two_models(lake: Lake, tmp_path: Path) -> None:
    for letter in (b"\xfe", b"\xff"):
        repository(Path(os.fsdecode(os.fsencode(tmp_path) + b"/models/owner/m" + letter)))
    crawl = mine(lake, "local", folder=tmp_path / "models")
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (2, 1, 1)
    assert lake.sql("SELECT model_id FROM model")["model_id"].to_list() == ["local:owner/m\ufffd"]
    assert "is already the model in" in failures(lake)[0][2]


def test_a_newer_snapshot_of_a_cached_model_takes_the_place_of_the_older(lake: Lake, tmp_path: Path) -> None:
    cached = tmp_path / "models--owner--model"
    for sha in ("a" * 40, "b" * 40):
        newest = repository(cached / "snapshots" / sha)
        (cached / "refs").mkdir(exist_ok=True)
        (cached / "refs" / "main").write_text(sha)
        assert mine(lake, "local", folder=tmp_path).failures == 0
    assert models(lake) == [("local:owner/model", str(newest))]


def test_a_folder_that_cannot_be_read_is_a_failure_and_its_models_are_not_gone(lake: Lake, tmp_path: Path) -> None:
    kept = repository(tmp_path / "models" / "closed" / "model")
    repository(tmp_path / "models" / "open" / "model")
    gone = repository(tmp_path / "models" / "open" / "gone")
    mine(lake, "local", folder=tmp_path / "models")
    (gone / "model.safetensors").unlink()
    kept.parent.chmod(0)
    rights = AS_ANYBODY if os.geteuid() == 0 else []
    try:
        command = [*rights, sys.executable, "-c", MINE, str(lake.path), str(tmp_path / "models")]
        subprocess.run(command, check=True, cwd=ROOT)
    finally:
        kept.parent.chmod(0o755)
    assert [model_id for model_id, _ in models(lake)] == ["local:closed/model", "local:open/model"]
    reason = "the folder cannot be read: Permission denied"
    assert failures(lake) == [(str(kept.parent), "file", reason)]


def test_weights_that_lie_too_deep_are_said_and_found_from_there(lake: Lake, tmp_path: Path) -> None:
    models = tmp_path / "models"
    repository(models / "owner" / "one")
    for deep in (models / "owner" / "two" / "sub", models / "archive" / "old" / "owner" / "three"):
        deep.mkdir(parents=True)
        save_file({"w": np.zeros(2, np.float32)}, deep / "model.safetensors")
    (models / "notes" / "of" / "mine").mkdir(parents=True)
    (models / "notes" / "of" / "mine" / "notes.txt").write_text("x")
    crawl = mine(lake, "local", folder=models)
    assert (crawl.rows_stored, crawl.unread) == (1, 2)
    reasons = {Path(subject).name: reason for subject, _, reason in failures(lake)}
    assert set(reasons) == {"two", "archive"}
    for name, root in (("two", models / "owner" / "two"), ("archive", models / "archive" / "old" / "owner")):
        assert reasons[name].endswith(f"lies deeper than owner/name: mine {root}")
        assert mine(lake, "local", folder=root).rows_stored == 1


def test_a_stray_file_of_weights_makes_no_model_of_a_folder_of_models(lake: Lake, tmp_path: Path) -> None:
    for name in ("owner/one", "owner/two"):
        repository(tmp_path / "models" / name)
    (tmp_path / "models" / "old.bin").write_bytes(b"x")
    mine(lake, "local", folder=tmp_path / "models")
    assert [model_id for model_id, _ in models(lake)] == ["local:owner/one", "local:owner/two"]


@pytest.mark.parametrize("beside", ["config.json", "README.md", None])
def test_a_model_may_keep_more_weights_in_folders_of_its_own(lake: Lake, tmp_path: Path, beside: str | None) -> None:
    place = repository(tmp_path / "models" / "owner" / "model")
    if beside:
        (place / beside).write_text("{}")
    (place / "onnx").mkdir()
    (place / "onnx" / "model.onnx").write_bytes(b"x")
    mine(lake, "local", folder=place)
    assert [model_id for model_id, _ in models(lake)] == ["local:owner/model"]


@pytest.mark.parametrize("seconds", [2.0**40, -(10.0**11), 1e300, float("inf"), float("nan")])
def test_a_time_that_no_calendar_has_is_none(seconds: float) -> None:
    assert _time(seconds) is None


def test_a_file_of_the_far_future_is_mined(lake: Lake, tmp_path: Path) -> None:
    place = repository(tmp_path / "models" / "owner" / "model")
    os.utime(place / "model.safetensors", (2**33, 2**33))
    mine(lake, "local", folder=tmp_path / "models")
    assert len(models(lake)) == 1
