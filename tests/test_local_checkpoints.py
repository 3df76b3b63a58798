import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from miners.folders import repositories
from miners.mining import mine
from schemas import DataError, Lake, UsageError
from schemas.doctor import examine
from tests.mined_models import Bomb
from zoo import load_weights

onnx = pytest.importorskip("onnx")


def net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def scripted(place: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated; people have such files
        torch.jit.save(torch.jit.script(net()), place)


def exported(place: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.zeros((4, 3), np.float32), "weight")
    shape = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("x", "y")]
    node = onnx.helper.make_node("MatMul", ["weight", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "net", shape[:1], shape[1:], [weight])
    onnx.save(onnx.helper.make_model(graph), place)


def checkpoints(folder: Path) -> Path:
    folder.mkdir(parents=True)
    scripted(folder / "script.pt")
    torch.save(net().state_dict(), folder / "state.pth")
    exported(folder / "net.onnx")
    save_file({"a": np.zeros((2, 5), np.float32)}, folder / "epoch_10.safetensors")
    return folder


def tensors(lake: Lake) -> dict[str, list[tuple[str, list[int]]]]:
    rows = lake.sql("SELECT model_id, name, shape FROM tensor ORDER BY ALL").rows()
    found: dict[str, list[tuple[str, list[int]]]] = {}
    for model_id, name, shape in rows:
        found.setdefault(model_id, []).append((name, shape))
    return found


def test_each_file_of_a_folder_of_bare_checkpoints_is_a_model(lake: Lake, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "runs" / "ckpt")
    (folder / "notes.txt").write_text("x")
    torch.save({"state": {}}, folder / "optimizer.pt")
    crawl = mine(lake, "local", folder=folder)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (4, 4, 0)
    state = sorted((name, list(value.shape)) for name, value in net().state_dict().items())
    assert tensors(lake) == {
        "local:ckpt/epoch_10.safetensors": [("a", [2, 5])],
        "local:ckpt/net.onnx": [("weight", [4, 3])],
        "local:ckpt/script.pt": state,
        "local:ckpt/state.pth": state,
    }
    files = lake.sql("SELECT model_id, path, format FROM file ORDER BY ALL").rows()
    assert files[0] == ("local:ckpt/epoch_10.safetensors", "epoch_10.safetensors", "safetensors")
    assert len(files) == 4
    assert lake.sql("SELECT count(*) FROM model WHERE parameters > 0").item() == 4
    assert examine(lake).is_empty()


def test_torchscript_goes_by_its_own_ending_too(lake: Lake, tmp_path: Path) -> None:
    scripted(tmp_path / "net.torchscript")
    mine(lake, "local", folder=tmp_path / "net.torchscript")
    assert lake.sql("SELECT format, parameters FROM model JOIN file USING (model_id)").rows() == [("pickle", 33)]


def test_a_broken_file_and_a_data_set_are_no_models(lake: Lake, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "ckpt")
    (folder / "torn.onnx").write_bytes(b"\xff")
    np.savez(folder / "mnist.npz", x_train=np.zeros((5, 3)), y_train=np.zeros(5), x_test=np.zeros((1, 3)))
    np.savez(folder / "weights.npz", w=np.zeros((5, 3)), y_train=np.zeros(5))
    crawl = mine(lake, "local", folder=folder)
    assert (crawl.rows_seen, crawl.rows_stored, crawl.failures) == (7, 5, 2)
    failures = dict(lake.sql("SELECT subject, reason FROM failure WHERE stage = 'listing'").iter_rows())
    assert "torn.onnx: " in failures[str(folder / "torn.onnx")]
    assert failures[str(folder / "mnist.npz")] == (
        "mnist.npz: its arrays are called x_train, y_train, x_test: a data set, and no weights"
    )
    assert examine(lake).is_empty()


def test_a_model_whose_file_broke_is_not_gone_and_nothing_that_can_be_read_is_an_error(
    lake: Lake, tmp_path: Path
) -> None:
    place = checkpoints(tmp_path / "ckpt") / "net.onnx"
    mine(lake, "local", folder=tmp_path / "ckpt")
    place.write_bytes(b"\xff")
    assert mine(lake, "local", folder=tmp_path / "ckpt").failures == 1
    with pytest.raises(DataError, match=r"net.onnx gives no model, for 1 reason, the first: .*net.onnx: "):
        mine(lake, "local", folder=place)
    assert lake.sql("SELECT count(*) FROM model WHERE deleted_at IS NULL").item() == 4


def test_a_place_that_is_not_there_or_no_weights_is_one_sentence(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent does not exist; name a folder"):
        mine(lake, "local", folder=tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"notes.txt is no file of weights: expected one that ends in .safetensors, "):
        mine(lake, "local", folder=tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["script.pt", "state.pth", "net.onnx", "epoch_10.safetensors"])
def test_a_single_file_is_a_model(lake: Lake, tmp_path: Path, name: str) -> None:
    place = checkpoints(tmp_path / "ckpt") / name
    for _ in range(2):
        assert mine(lake, "local", folder=place).rows_stored == 1
    assert lake.sql("SELECT model_id, location FROM model").rows() == [(f"local:ckpt/{name}", str(place))]
    assert list(tensors(lake)) == [f"local:ckpt/{name}"]
    assert lake.sql("SELECT count(*) FROM failure").item() == 0


def test_the_weights_of_a_single_file_are_its_own(lake: Lake, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "ckpt")
    save_file({"b": np.ones(3, np.float32)}, folder / "other.safetensors")
    mine(lake, "local", folder=folder)
    weights = load_weights(lake, "local:ckpt/other.safetensors")
    assert {name: value.tolist() for name, value in weights.items()} == {"b": [1, 1, 1]}
    with pytest.raises(UsageError, match="in no safetensors file"):
        load_weights(lake, "local:ckpt/state.pth")


def test_a_file_that_is_gone_is_marked_and_the_others_are_not(lake: Lake, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "ckpt")
    mine(lake, "local", folder=folder)
    (folder / "state.pth").unlink()
    mine(lake, "local", folder=folder)
    gone = lake.sql("SELECT name FROM model WHERE deleted_at IS NOT NULL")["name"].to_list()
    assert gone == ["state.pth"]


@pytest.mark.parametrize(
    "names",
    [
        ["a.bin"],
        ["model.safetensors", "extra.safetensors"],
        ["pytorch_model.bin", "model.safetensors"],
        ["w-00001-of-00002.bin", "w-00002-of-00002.bin"],
        ["a.bin", "b.bin", "config.json"],
        ["a.bin", "b.bin", "README.md"],
        ["a.bin", "optimizer.pt"],
    ],
)
def test_files_that_belong_together_stay_one_model(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "owner" / "net").mkdir(parents=True)
    for name in names:
        (tmp_path / "owner" / "net" / name).write_bytes(b"{}")
    assert [found.name for found in repositories(tmp_path / "owner" / "net").repositories] == ["owner/net"]


ARRAYS = {"a.npz", "b.npz"}
LOOSE = {"a.pt", "b.onnx"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (ARRAYS, ["runs/a.npz", "runs/b.npz"]),
        ({"weights.npy"}, ["top/runs"]),
        ({f"s{seed}/{name}" for seed in (0, 1) for name in ARRAYS} - {"s1/b.npz"}, ["s0/a.npz", "s0/b.npz", "s1"]),
        ({*(f"w/{name}" for name in LOOSE), "data/x.npy", "data/y.npy"}, ["w/a.pt", "w/b.onnx"]),
        ({*LOOSE, "old/c.pt", "old/d.pt"}, ["old/c.pt", "old/d.pt", "runs/a.pt", "runs/b.onnx"]),
        ({"last.pt", "old/c.pt", "old/d.pt"}, ["old/c.pt", "old/d.pt", "runs/last.pt"]),
        ({*LOOSE, "best/c.pt"}, ["best", "runs/a.pt", "runs/b.onnx"]),
        ({*LOOSE, "net/config.json", "net/model.bin"}, ["net", "runs/a.pt", "runs/b.onnx"]),
        ({"last.pt", "net/config.json", "net/model.bin"}, ["net", "runs/last.pt"]),
        ({"net/last.pt", "net/old/c.pt", "net/old/d.pt"}, ["net/last.pt", "old/c.pt", "old/d.pt"]),
        ({*(f"w/{name}" for name in LOOSE), "w/net/config.json"}, ["w/a.pt", "w/b.onnx", "w/net"]),
        ({"o/run/c.pt", "o/run/d.pt"}, ["run/c.pt", "run/d.pt"]),
    ],
)
def test_loose_checkpoints_hide_nothing_and_are_not_hidden(
    tmp_path: Path, files: set[str], expected: list[str]
) -> None:
    for path in files:
        place = tmp_path / "top" / "runs" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"{}")
    assert sorted(found.name for found in repositories(tmp_path / "top" / "runs").repositories) == expected


def test_arrays_alone_are_checkpoints(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for seed in range(2):
        np.savez(folder / f"seed{seed}.npz", kernel=np.zeros((3, 4), np.float32), bias=np.zeros(4, np.float64))
    np.save(folder / "flat.npy", np.zeros(7, np.float16))
    assert mine(lake, "local", folder=folder).rows_stored == 3
    parameters = lake.sql("SELECT name, parameters FROM model ORDER BY name").rows()
    assert parameters == [("flat.npy", 7), ("seed0.npz", 16), ("seed1.npz", 16)]
    assert tensors(lake)["local:runs/seed1.npz"] == [("bias", [4]), ("kernel", [3, 4])]
    assert lake.sql("SELECT count(DISTINCT fingerprint) FROM weights").item() == 2
    assert examine(lake).is_empty()


def test_a_pickle_in_a_folder_of_checkpoints_is_never_opened(lake: Lake, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "ckpt")
    torch.save({"weight": torch.zeros(2), "bomb": Bomb(tmp_path / "exploded")}, folder / "bomb.pt")
    mine(lake, "local", folder=folder)
    assert not (tmp_path / "exploded").exists()


def test_a_link_out_of_a_folder_of_checkpoints_is_not_followed(lake: Lake, tmp_path: Path) -> None:
    folder = checkpoints(tmp_path / "ckpt")
    (tmp_path / "secret.pt").write_bytes((folder / "state.pth").read_bytes())
    (folder / "link.pt").symlink_to(tmp_path / "secret.pt")
    mine(lake, "local", folder=folder)
    assert "local:ckpt/link.pt" not in tensors(lake)
    reasons = lake.sql("SELECT reason FROM failure")["reason"].to_list()
    assert reasons == ["link.pt: a link that leads out of the repository is not followed"]


@pytest.mark.data
def test_published_networks_without_any_description_are_models_of_their_own(lake: Lake, data_folder: Path) -> None:
    folder = data_folder / "weights" / "silverman_deformation"
    places: list[Any] = sorted(folder.glob("*.safetensors"))
    crawl = mine(lake, "local", folder=folder)
    assert (crawl.rows_seen, crawl.failures) == (len(places), 0)
    found = tensors(lake)
    for place in places:
        with safe_open(place, "np") as opened:
            expected = sorted((name, opened.get_slice(name).get_shape()) for name in list(opened.keys()))
        assert found[f"local:{folder.name}/{place.name}"] == expected
