"""Merges from disk to disk: against mergekit on the same files, within a memory limit, interrupted, damaged."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from learners import merge
from learners.soups.files.mapped import is_finite
from learners.soups.files.merge_files import Ingredients, merge_files
from learners.soups.files.stored import read_header
from learners.soups.kitchen import read_folder
from learners.soups.merging import prepare
from schemas import DataError, Lake, UsageError
from tests.conftest import ROOT
from tests.test_command_line import Run, run
from tests.transformer_folders import card, mined, write_transformer
from zoo import load_weights

TUNES = "SELECT model_id FROM models WHERE name LIKE 'tune%' ORDER BY model_id"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and three fine-tunes of it, one of them in several files."""
    folder = tmp_path_factory.mktemp("transformers")
    base = write_transformer(folder / "base", 0)
    for number in range(3):
        tune = write_transformer(folder / f"tune{number}", number + 1, base, shard="8KB" if number == 1 else "5GB")
        card(tune, ["mit", "apache-2.0", "cc-by-nc-4.0"][number], "base")
    card(base, "apache-2.0")
    return folder


@pytest.fixture(scope="module")
def hub(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return mined(folders, tmp_path_factory.mktemp("hub") / "lake")


def by_mergekit(folders: Path, to: Path, method: str, names: list[str], base: str | None, **parameters: Any) -> Path:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    models = [
        {"model": str(folders / name), "parameters": {key: value[number] for key, value in parameters.items()}}
        for number, name in enumerate(names)
    ]
    configuration: dict[str, Any] = {"merge_method": method, "models": models, "dtype": "float32"}
    if base is not None:
        configuration["base_model"] = str(folders / base)
    run_merge(
        MergeConfiguration.model_validate(configuration),
        str(to),
        MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False),
    )
    return to


ITS_OWN = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mergekit's own reading of files


@ITS_OWN
@pytest.mark.parametrize(
    ("method", "parent", "settings", "theirs"),
    [
        ("linear", None, {"weights": [1.0, 2.0, 0.5]}, {"weight": [1.0, 2.0, 0.5]}),
        ("task_arithmetic", "local:base", {"weights": [0.4] * 3}, {"weight": [0.4] * 3}),
        ("ties", "local:base", {"density": 0.5}, {"weight": [1.0] * 3, "density": [0.5] * 3}),
        ("model_stock", "local:base", {}, {}),
    ],
)
def test_a_merge_on_disk_is_mergekits(
    hub: Lake, folders: Path, tmp_path: Path, method: str, parent: str | None, settings: Any, theirs: Any
) -> None:
    made = merge(hub, TUNES, method, parent=parent, to=tmp_path / "ours", **settings)
    names = ["tune0", "tune1", "tune2"]
    by_mergekit(folders, tmp_path / "theirs", method, names, "base" if parent else None, **theirs)
    equal(read_folder(made.folder), read_folder(tmp_path / "theirs"))


@ITS_OWN
def test_slerp_on_disk_is_mergekits(hub: Lake, folders: Path, tmp_path: Path) -> None:
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    pair = "SELECT unnest(['local:tune0', 'local:tune1']) AS model_id ORDER BY model_id"
    made = merge(hub, pair, "slerp", t=0.3, to=tmp_path / "ours")
    configuration = {
        "merge_method": "slerp",
        "base_model": str(folders / "tune0"),
        "models": [{"model": str(folders / name)} for name in ("tune0", "tune1")],
        "parameters": {"t": 0.3},
        "dtype": "float32",
    }
    options = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False)
    run_merge(MergeConfiguration.model_validate(configuration), str(tmp_path / "theirs"), options)
    equal(read_folder(made.folder), read_folder(tmp_path / "theirs"))


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """The same up to the rounding of a few additions in float32."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-5, atol=1e-6)


def test_the_merged_repository_runs_in_its_own_library(hub: Lake, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    made = merge(hub, TUNES, "linear", to=tmp_path / "merged", shard_bytes=8_000)
    assert (made.folder / "model.safetensors.index.json").is_file()
    assert (made.folder / "tokenizer.json").read_text() == '{"version": "1.0"}'
    model = AutoModelForCausalLM.from_pretrained(made.folder)
    members = [load_weights(hub, model_id) for model_id in made.ingredients]
    for name, parameter in model.named_parameters():
        mean = torch.stack([member[name] for member in members]).double().mean(0)
        torch.testing.assert_close(parameter.double(), mean, rtol=1e-6, atol=1e-7)
    assert model(torch.arange(5)[None]).logits.shape == (1, 5, 64)


def test_shards_and_index_are_those_of_the_hubs_own_tool(hub: Lake, tmp_path: Path) -> None:
    made = merge(hub, TUNES, "uniform", to=tmp_path / "ours", shard_bytes=8_000)
    ours = json.loads((made.folder / "model.safetensors.index.json").read_text())
    layout = {name: torch.empty(t.shape) for name, t in hub_header(hub, made.ingredients[0]).items()}
    (tmp_path / "theirs").mkdir()
    save_torch_state_dict(layout, tmp_path / "theirs", max_shard_size=8_000)
    theirs = json.loads((tmp_path / "theirs" / "model.safetensors.index.json").read_text())
    assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
    assert ours["weight_map"] == theirs["weight_map"]
    for name, file in ours["weight_map"].items():
        assert name in load_file(made.folder / file)


def hub_header(lake: Lake, model_id: str) -> dict[str, Any]:
    location = lake.sql("SELECT location FROM model WHERE model_id = $id", id=model_id)["location"][0]
    return {
        name: tensor
        for path in sorted(Path(location).glob("*.safetensors"))
        for name, tensor in read_header(path).items()
    }


def test_a_merge_is_a_model_of_the_lake_with_everything_that_it_depends_on(hub: Lake) -> None:
    made = merge(hub, TUNES, "ties", density=0.3)
    assert made.parent == "local:base"  # what lineage says
    row = hub.sql("SELECT * FROM models WHERE model_id = $id", id=made.model_id).row(0, named=True)
    assert (row["origin"], row["method"], row["architecture"]) == ("made", "ties", "LlamaForCausalLM")
    parents = hub.sql("SELECT parent_id FROM lineage WHERE child_id = $id AND relation = 'merge'", id=made.model_id)
    assert set(parents["parent_id"]) == {*made.ingredients, "local:base"}
    settings = json.loads(hub.sql("SELECT settings FROM product WHERE model_id = $id", id=made.model_id)["settings"][0])
    assert (settings["density"], settings["parent"], settings["sql"]) == (0.3, "local:base", TUNES)
    assert load_weights(hub, made.model_id).keys() == load_weights(hub, "local:base").keys()
    fingerprints = "SELECT DISTINCT fingerprint FROM weights WHERE model_id IN ($first, $second)"
    assert hub.sql(fingerprints, first=made.model_id, second="local:base").height == 1
    assert merge(hub, TUNES, "ties", density=0.3).model_id == made.model_id
    assert merge(hub, TUNES, "ties", density=0.4).model_id != made.model_id
    again = merge(hub, f"SELECT unnest(['{made.model_id}', 'local:tune0']) AS model_id")
    assert set(again.ingredients) == {made.model_id, "local:tune0"}


def test_the_card_names_licences_and_their_conflicts(hub: Lake, tmp_path: Path) -> None:
    made = merge(hub, TUNES, "linear", to=tmp_path / "all")
    text = (made.folder / "README.md").read_text()
    assert "license: cc-by-nc-4.0" in text
    assert "| `local:tune2` | " in text
    permissive = "SELECT unnest(['local:tune0', 'local:tune1']) AS model_id"
    text = (merge(hub, permissive, to=tmp_path / "two").folder / "README.md").read_text()
    assert "license: apache-2.0" in text or "license: mit" in text


def test_weights_can_be_a_column_of_the_query(hub: Lake, tmp_path: Path) -> None:
    query = "SELECT * FROM (VALUES ('local:tune1', 3), ('local:tune0', 1)) AS v(model_id, weight)"
    made = merge(hub, query, to=tmp_path / "weighted")
    first, second = load_weights(hub, "local:tune0"), load_weights(hub, "local:tune1")
    for name, tensor in read_folder(made.folder).items():
        torch.testing.assert_close(tensor, (first[name] + 3 * second[name]) / 4, rtol=1e-6, atol=1e-7)


def test_kept_tensors_are_the_bases_and_may_differ(folders: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(folders / "base", models / "one")
    write_transformer(models / "two", 5, folders / "base")
    weights = load_file(models / "two" / "model.safetensors")
    weights["lm_head.weight"] = torch.randn(70, 16)
    save_file(weights, models / "two" / "model.safetensors", metadata={"format": "pt"})
    lake = mined(models, tmp_path / "lake")
    query = "SELECT model_id FROM models ORDER BY model_id"
    with pytest.raises(UsageError, match=r"different heads or vocabularies: lm_head.weight is \[64, 16\]"):
        merge(lake, query)
    made = merge(lake, query, keep=["lm_head.*"])
    merged, one = load_weights(lake, made.model_id), load_weights(lake, "local:one")
    assert torch.equal(merged["lm_head.weight"], one["lm_head.weight"])
    assert not torch.equal(merged["model.norm.weight"], one["model.norm.weight"])


def test_types_are_stored_as_asked_and_computed_in_large_ones(tmp_path: Path) -> None:
    for number in range(3):
        values = torch.full((4, 4), 60000.0).half()
        tensors = {"w": values, "steps": torch.tensor([number]), "z": torch.zeros(()), "none": torch.zeros(0, 2)}
        save_file(tensors, tmp_path / f"{number}.safetensors")
    models = tuple(read_header(tmp_path / f"{number}.safetensors") for number in range(3))
    for dtype in (None, torch.bfloat16):
        folder = tmp_path / str(dtype)
        folder.mkdir()
        merge_files(prepare("linear", 3), Ingredients(models, None, models[0]), folder, dtype=dtype)
        merged = load_file(folder / "model.safetensors")
        assert merged["w"].dtype == (dtype or torch.float16)
        assert torch.allclose(merged["w"].float(), torch.tensor(60000.0), rtol=0.01)
        assert merged["steps"].tolist() == [0]
        assert merged["none"].shape == (0, 2)


LARGEST = torch.finfo(torch.float32).max


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.complex64])
@pytest.mark.parametrize(
    "values",
    [[1.0, 2.0], [], [LARGEST, LARGEST], [LARGEST, -LARGEST], [1.0, math.inf], [math.inf, -math.inf], [math.nan, 0.0]],
)
def test_a_value_that_is_not_finite_is_found_whatever_stands_beside_it(values: list[float], dtype: torch.dtype) -> None:
    """As numpy says, which looks at each value; the sum of finite ones may be infinite, and none is refused for it."""
    largest = float(torch.finfo(dtype).max)
    tensor = torch.tensor([max(-largest, min(value, largest)) if math.isfinite(value) else value for value in values])
    tensor = tensor.to(dtype).repeat(5000)
    wide = tensor if tensor.is_complex() else tensor.double()
    assert is_finite(tensor) == bool(np.isfinite(wide.numpy()).all()) == all(map(math.isfinite, values))


def test_tied_tensors_stay_tied_on_disk(tmp_path: Path) -> None:
    models = []
    for number in range(3):
        weight = torch.randn(20, 20, generator=torch.Generator().manual_seed(number))
        tensors = {"embed": weight, "head": weight.clone(), "other": weight + 1}
        save_file(tensors, tmp_path / f"{number}.safetensors")
        models.append(read_header(tmp_path / f"{number}.safetensors"))
    (tmp_path / "out").mkdir()
    merge_files(prepare("dare", 2), Ingredients(tuple(models[1:]), models[0], models[0]), tmp_path / "out")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(merged["embed"], merged["head"])
    parent = load_file(tmp_path / "0.safetensors")
    assert not torch.equal(merged["embed"] != parent["embed"], merged["other"] != parent["other"])


LIMITED = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from learners.soups.files.merge_files import Ingredients, merge_files
from learners.soups.files.stored import read_header
from learners.soups.merging import prepare
from safetensors.torch import load_file
folder, allowed = Path(sys.argv[1]), int(sys.argv[2])
paths = sorted(folder.glob("*.safetensors"))
models = tuple(read_header(path) for path in paths)
torch.ones(2000, 2000).topk(5)  # what torch allocates once and for all
size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + allowed, size + allowed))
for method in ("linear", "ties"):
    parent = models[0] if method == "ties" else None
    (folder / method).mkdir()
    merge_files(prepare(method, len(models) - 1), Ingredients(models[1:], parent, models[0]), folder / method)
try:
    everything = [load_file(path) for path in paths]
except Exception:
    print("too little memory to load everything")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells its own size only on Linux")
def test_memory_is_bounded_by_the_largest_tensor_not_by_the_models(tmp_path: Path) -> None:
    """Twelve models of 16 MB in tensors of 4 MB, 192 MB, are merged in 100 MB above what the program itself takes."""
    for number in range(12):
        source = torch.Generator().manual_seed(number)
        tensors = {f"layer{layer}": torch.randn(1000, 1000, generator=source) for layer in range(4)}
        save_file(tensors, tmp_path / f"{number}.safetensors")
    arenas = {"MALLOC_ARENA_MAX": "1"}  # address space that threads reserve and never use is no memory
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **arenas}
    command = [sys.executable, "-c", LIMITED, str(tmp_path), "100000000"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "too little memory to load everything\n"
    for method in ("linear", "ties"):
        assert len(read_header(tmp_path / method / "model.safetensors")) == 4


KILLED = """
import os, signal, sys
from learners import merge
from schemas import open_lake

def die(done, total, name):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)

merge(open_lake(sys.argv[1]), sys.argv[2], "linear", to=sys.argv[3], progress=die)
"""


def test_a_merge_that_is_killed_leaves_nothing_that_looks_whole(hub: Lake, tmp_path: Path) -> None:
    before = hub.sql("SELECT count(*) AS n FROM product")["n"][0]
    query = "SELECT unnest(['local:tune0', 'local:tune2']) AS model_id"
    command = [sys.executable, "-c", KILLED, str(hub.path), query, str(tmp_path / "merged")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "merged").exists()
    assert all(path.name.endswith(".unfinished") for path in tmp_path.iterdir())
    assert hub.sql("SELECT count(*) AS n FROM product")["n"][0] == before
    assert merge(hub, query, to=tmp_path / "merged").folder.is_dir()


def test_a_full_disk_leaves_nothing(hub: Lake, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * 25_156_000)
    from schemas import OutsideError

    with pytest.raises(OutsideError, match="cannot write"):
        merge(hub, TUNES, to=small_disk / "merged")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: b"\xff" * 8 + content[8:], "no safetensors file"),
        (lambda content: content[:8] + b"x" + content[9:], "its header is no JSON"),
        (lambda content: content[:4], "no safetensors file"),
        (lambda content: content.replace(b'"dtype":"F32"', b'"dtype":"F16"', 1), "is damaged"),
        (lambda content: content.replace(b'"shape":[16', b'"shape":[-6', 1), "is damaged"),
    ],
)
def test_damaged_files_are_named(folders: Path, tmp_path: Path, spoil: Any, reason: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(spoil((folders / "base" / "model.safetensors").read_bytes()))
    with pytest.raises(DataError, match=reason) as raised:
        read_header(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"method": "ties", "density": 2.0}, "density = 2.0: expected from 0 to 1"),
        ({"method": "tie"}, "method 'tie' is unknown"),
        ({"dtype": "int8"}, "dtype = 'int8': choose one of"),
        ({"precision": "float16"}, "precision = 'float16': merges are computed in"),
        ({"parent": "local:bass"}, "local:bass is not in this lake; near it: local:base"),
        ({"parent": "local:tune0"}, "local:tune0 is both an ingredient and the parent"),
        ({"method": "fisher"}, "Fisher information needs data and a way to run local:tune0"),
        ({"method": "regmean"}, "Gram matrices need data and a way to run local:tune0"),
        ({"weights": [1.0]}, "expected 3 numbers"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(hub: Lake, tmp_path: Path, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        merge(hub, TUNES, to=tmp_path / "merged", **arguments)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures(run.__name__)
def test_one_model_is_no_merge(hub: Lake, run: Run) -> None:
    one = "SELECT 'local:tune0' AS model_id"
    for method in ("linear", "uniform", "swa", "karcher"):
        said = run("merge", one, "--lake", hub.path, "--method", method)
        assert said.code == 2
        assert said.err == f"weightlake: {method} takes at least 2 models, and 1 is given; select more\n"
    halfway = merge(hub, one, "task_arithmetic", scale=0.5)
    tune, base, found = (load_weights(hub, name) for name in ("local:tune0", "local:base", halfway.model_id))
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, (tune[name] + base[name]) / 2, rtol=1e-6, atol=1e-7)


def test_the_folder_that_one_is_in_is_not_taken_away(hub: Lake, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (".", "", "..", tmp_path):
        with pytest.raises(UsageError, match="is the folder that you are in, or one above it"):
            merge(hub, TUNES, to=place)
    assert merge(hub, TUNES, to="inside").folder.is_dir()


def test_a_folder_that_is_there_is_not_written_over(hub: Lake, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is there already; name another folder"):
        merge(hub, TUNES, to=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
