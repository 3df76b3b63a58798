"""Weights of mined models: read where they lie, from safetensors alone, or refused with what to do."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor

from schemas import DataError, Lake, UsageError
from tests.mined_models import Bomb, add_model, equal, repository
from zoo.load import load_population, load_weights


def every_type(seed: int) -> dict[str, Tensor]:
    """A tensor of each type that safetensors and torch share, a scalar among them."""
    source = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 2, (3, 4), generator=source)
    types = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
    types += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    return {str(dtype): values.to(dtype) for dtype in types} | {"scalar": torch.tensor(float(seed))}


def same_bytes(first: Tensor, second: Tensor) -> bool:
    alike = first.dtype == second.dtype and first.shape == second.shape
    return alike and torch.equal(first.double(), second.double())


def test_mined_models_are_read_where_they_lie_in_every_type(lake: Lake, tmp_path: Path) -> None:
    for seed in range(3):
        add_model(lake, f"local:x/m{seed}", repository(tmp_path / str(seed), every_type(seed)))
    sql = "SELECT unnest(['local:x/m2', 'local:x/m0', 'local:x/m1', 'local:x/m0']) AS model_id"
    population = load_population(lake, sql)
    for index, seed in enumerate((2, 0, 1, 0)):
        loaded = population.member(index)
        assert loaded.keys() == every_type(seed).keys()
        assert all(same_bytes(loaded[name], tensor) for name, tensor in every_type(seed).items())


def test_an_index_says_which_files_are_read(lake: Lake, tmp_path: Path) -> None:
    folder = repository(tmp_path / "m", {"a": torch.ones(2)}, "model-00001-of-00002.safetensors")
    repository(folder, {"b": torch.ones(3)}, "model-00002-of-00002.safetensors")
    repository(folder, {"other": torch.ones(3)}, "model.fp16.safetensors")
    index = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    add_model(lake, "local:x/m", folder)
    assert equal(load_weights(lake, "local:x/m"), {"a": torch.ones(2), "b": torch.ones(3)})


def test_the_usual_file_comes_before_others_and_others_before_none(lake: Lake, tmp_path: Path) -> None:
    folder = repository(tmp_path / "m", {"adapter": torch.ones(2)}, "deep/adapter.safetensors")
    add_model(lake, "local:x/m", folder)
    assert equal(load_weights(lake, "local:x/m"), {"adapter": torch.ones(2)})
    repository(folder, {"whole": torch.ones(2)})
    assert equal(load_weights(lake, "local:x/m"), {"whole": torch.ones(2)})


def _index(folder: Path, content: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors.index.json").write_text(content)


def _twice(folder: Path) -> None:
    repository(folder, {"a": torch.ones(2)}, "one.safetensors")
    repository(folder, {"a": torch.ones(2)}, "two.safetensors")


def _cut(folder: Path) -> None:
    path = repository(folder, {"a": torch.ones(200)}) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: None, r"local:x/m should lie in .*, which is gone; mine it again where it lies now"),
        (_twice, r"has tensor a in several files"),
        (_cut, r"model\.safetensors is damaged"),
        (lambda folder: _index(folder, "no JSON"), r"is no index of safetensors files"),
        (
            lambda folder: _index(folder, '{"weight_map":' + "[" * 10**5 + "]" * 10**5 + "}"),
            r"is no index of safetensors",
        ),
        (lambda folder: _index(folder, "[]"), r"is no index of safetensors files"),
        (lambda folder: _index(folder, '{"weight_map": {"a": 3}}'), r"is no index of safetensors files"),
        (lambda folder: _index(folder, '{"weight_map": {"a": "../b.safetensors"}}'), r"names files outside its folder"),
        (lambda folder: _index(folder, '{"weight_map": {"a": "/b.safetensors"}}'), r"names files outside its folder"),
        (lambda folder: _index(folder, '{"weight_map": {"a": "b.safetensors"}}'), r"lacks b\.safetensors"),
    ],
)
def test_a_damaged_repository_is_named(lake: Lake, tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(tmp_path / "m")
    add_model(lake, "local:x/m", tmp_path / "m")
    with pytest.raises(DataError, match=message):
        load_weights(lake, "local:x/m")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "weights/model.pkl", "model.ckpt"])
def test_a_pickle_is_never_opened(lake: Lake, tmp_path: Path, file: str) -> None:
    path = tmp_path / "m" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    add_model(lake, "local:x/m", tmp_path / "m")
    with pytest.raises(UsageError, match=rf"has its weights in {file} and in no safetensors file; .* convert it"):
        load_weights(lake, "local:x/m")
    assert not (tmp_path / "ran").exists()


def test_a_repository_without_weights_is_said(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    add_model(lake, "local:x/m", tmp_path / "m")
    with pytest.raises(UsageError, match="local:x/m has no weights: there is no safetensors file in it"):
        load_weights(lake, "local:x/m")


def test_a_mined_model_has_no_epochs(lake: Lake, tmp_path: Path) -> None:
    add_model(lake, "local:x/m", repository(tmp_path / "m", {"a": torch.ones(2)}))
    with pytest.raises(UsageError, match="has no epochs; leave the epoch out"):
        load_weights(lake, "local:x/m", epoch=2)


CACHED = """
import sys
from schemas import open_lake
from zoo import load_weights
print(load_weights(open_lake(sys.argv[1]), "huggingface:owner/name")["a"].tolist())
"""


def test_a_hubs_model_is_read_from_the_hugging_face_cache(lake: Lake, tmp_path: Path) -> None:
    sha = "a" * 40
    snapshot = tmp_path / "cache" / "models--owner--name" / "snapshots" / sha
    repository(snapshot, {"a": torch.tensor([3.0])})
    add_model(lake, "huggingface:owner/name", None, sha=sha)
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", CACHED, str(lake.path)]
    assert subprocess.check_output(command, env=environment, text=True) == "[3.0]\n"


@pytest.mark.parametrize("file", ["model.safetensors", "deep/adapter.safetensors", "model.safetensors.index.json"])
def test_a_link_that_leads_out_of_the_repository_is_not_followed(lake: Lake, tmp_path: Path, file: str) -> None:
    secret = repository(tmp_path / "secret", {"a": torch.ones(2)}) / "model.safetensors"
    link = tmp_path / "m" / file
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    add_model(lake, "local:x/m", tmp_path / "m")
    with pytest.raises(DataError, match=rf"{file} is a link that leads out of .*/m; it is not followed"):
        load_weights(lake, "local:x/m")


def test_a_link_may_lead_to_the_blobs_of_its_cached_repository_and_no_further(lake: Lake, tmp_path: Path) -> None:
    for name in ("own", "other"):
        repository(tmp_path / f"models--x--{name}" / "blobs", {"a": torch.ones(2)})
        snapshot = tmp_path / f"models--x--{name}" / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to(tmp_path / "models--x--own" / "blobs" / "model.safetensors")
        add_model(lake, f"local:x/{name}", snapshot)
    assert equal(load_weights(lake, "local:x/own"), {"a": torch.ones(2)})
    with pytest.raises(DataError, match=r"leads out of .*models--x--other;"):
        load_weights(lake, "local:x/other")


@pytest.mark.parametrize("name", ["a--b/c..d", "-a/b.git"])
def test_a_name_that_the_cache_cannot_hold_says_what_to_do(lake: Lake, name: str) -> None:
    add_model(lake, f"huggingface:{name}", None)
    with pytest.raises(UsageError, match=rf"no place for .* of huggingface:{name} .*mine that as a local one"):
        load_weights(lake, f"huggingface:{name}")


def test_a_hubs_model_that_is_not_here_says_how_to_fetch_it(lake: Lake) -> None:
    add_model(lake, "huggingface:nobody-here/name", None, sha="b" * 40)
    files = r'"\*\.safetensors" "\*\.json" "\*\.model" "\*\.txt"'
    command = f"hf download nobody-here/name --revision {'b' * 40} --include {files}"
    with pytest.raises(UsageError, match=f"are not on this machine; fetch them with: {command}"):
        load_weights(lake, "huggingface:nobody-here/name")


def test_a_hubs_model_that_has_only_pickles_is_refused_before_it_is_fetched(lake: Lake) -> None:
    add_model(lake, "huggingface:nobody-here/name", None)
    with lake.write() as transaction:
        files = {"model_id": "huggingface:nobody-here/name", "path": ["config.json", "pytorch_model.bin"]}
        transaction.append("file", pl.DataFrame(files))
    with pytest.raises(UsageError, match=r"has its weights in pytorch_model\.bin and in no safetensors file"):
        load_weights(lake, "huggingface:nobody-here/name")


@pytest.mark.data
def test_models_that_somebody_else_trained_stack_by_their_shapes(lake: Lake, data_folder: Path, tmp_path: Path) -> None:
    files = sorted((data_folder / "weights" / "silverman_deformation").glob("models__forward__*.safetensors"))
    for file in files:
        (tmp_path / file.stem).mkdir()
        shutil.copyfile(file, tmp_path / file.stem / "model.safetensors")
        add_model(lake, f"local:silverman/{file.stem}", tmp_path / file.stem)
    population = load_population(lake, "SELECT model_id FROM model ORDER BY model_id")
    assert len(population) == len(files) == 10
    assert len(population.split()["train"]) == 10 - 2 - 2
