"""What stands beside the weights of a merge: the base's files, wherever they lie, and a card that makes it again."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from learners import align, merge, mergeability
from learners.soups.check.mergeability import query_of
from learners.soups.merge import Merged
from schemas import DataError, Lake, UsageError
from tests.mined_models import add_model, many_models, repository
from tests.test_command_line import Run, run
from tests.transformer_folders import mined, write_transformer
from zoo import load_weights
from zoo.describe import Description
from zoo.initialise import initialise

SHA = "a" * 40
TUNES = "SELECT model_id FROM models WHERE name LIKE 'tune%' ORDER BY model_id"
LOCAL = "SELECT model_id FROM model WHERE hub = 'local' ORDER BY model_id"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformers")
    base = write_transformer(folder / "base", 0)
    for number in range(2):
        write_transformer(folder / f"tune{number}", number + 1, base)
    return folder


@pytest.fixture
def hub(folders: Path, tmp_path: Path) -> Lake:
    return mined(folders, tmp_path / "lake")


def in_cache(repository: Path, cache: Path, name: str) -> None:
    """Lay a repository out as the Hugging Face cache does: a snapshot of links to blobs."""
    blobs = cache / f"models--{name.replace('/', '--')}" / "blobs"
    snapshot = blobs.parent / "snapshots" / SHA
    shutil.copytree(repository, blobs)
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(Path("..", "..", "blobs", blob.name))


def test_files_of_a_base_in_the_hugging_face_cache_go_with_the_merge(
    folders: Path, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("tune0", "tune1"):
        (folders / name / "spm.model").write_bytes(b"pieces")
        in_cache(folders / name, tmp_path / "cache", f"ada/{name}")
        add_model(lake, f"huggingface:ada/{name}", None, sha=SHA)
    made = merge(lake, TUNES)
    assert json.loads((made.folder / "config.json").read_text())["model_type"] == "llama"
    assert (made.folder / "tokenizer.json").read_text() == '{"version": "1.0"}'
    assert (made.folder / "spm.model").read_bytes() == b"pieces"
    assert AutoModelForCausalLM.from_pretrained(made.folder)(torch.arange(5)[None]).logits.shape == (1, 5, 64)


def test_a_configuration_that_only_the_lake_has_goes_with_the_merge(lake: Lake, tmp_path: Path) -> None:
    """As where a hub's configurations were mined and nothing but weights was fetched."""
    config = {"model_type": "own", "layers": [3, 4], "torch_dtype": "float32"}
    names = ["local:0", "local:1"]
    for number, name in enumerate(names):
        add_model(lake, name, repository(tmp_path / str(number), {"w": torch.eye(4) + 0.1 * number}))
    with lake.write() as transaction:
        transaction.append("config", pl.DataFrame({"model_id": names, "config": json.dumps(config)}))
    made = [merge(lake, LOCAL), merge(lake, LOCAL, dtype="float16")]
    said = [json.loads((each.folder / "config.json").read_text(encoding="utf-8")) for each in made]
    assert said == [config, config | {"torch_dtype": "float16"}]


def test_adapters_are_not_averaged(lake: Lake, tmp_path: Path) -> None:
    """The mean of two products is not the product of the means: here that is nothing at all."""
    for number, sign in enumerate((1.0, -1.0)):
        factors = {"q.lora_A.weight": sign * torch.ones(2, 8), "q.lora_B.weight": sign * torch.ones(8, 2)}
        add_model(lake, f"local:{number}", repository(tmp_path / str(number), factors))
    with pytest.raises(
        UsageError, match=r"local:0 is an adapter, .* is not the mean of what it adds; add it to its base"
    ):
        merge(lake, LOCAL, force=True)
    assert mergeability(lake, LOCAL).pairs["about"].to_list() == ["adapter"]


@pytest.mark.parametrize("method", ["fisher", "regmean"])
def test_networks_of_an_equation_have_no_statistics_of_samples(lake: Lake, tmp_path: Path, method: str) -> None:
    fields = {"architecture": "pinn", "width": 4, "classes": 1, "input_shape": (4,), "dataset": "convection"}
    description = Description.model_validate(fields | {"split_seed": 0})
    for number in range(2):
        place = repository(tmp_path / str(number), initialise(description.skeleton(), torch.Generator().manual_seed(0)))
        (place / "config.json").write_text(json.dumps({"weightlake": description.model_dump()}))
        add_model(lake, f"local:{number}", place)
    with pytest.raises(UsageError, match=r"needs? samples that local:0, a pinn, is not shown one by one; take linear"):
        merge(lake, LOCAL, method, force=True)


def reordered(weights: dict[str, torch.Tensor], order: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same network with the units of its first hidden layer in another order."""
    moved = {name: weights[name][order] for name in ("linear1.weight", "linear1.bias")}
    return weights | moved | {"linear2.weight": weights["linear2.weight"][:, order].contiguous()}


def test_aligned_networks_of_an_equation_are_judged_by_how_near_they_lie(lake: Lake, tmp_path: Path) -> None:
    """No barrier is measured between them, so that a merge that aligns them says what `mergeability` says of twins."""
    fields = {"architecture": "pinn", "width": 16, "classes": 1, "input_shape": (4,), "dataset": "convection"}
    description = Description.model_validate(fields | {"split_seed": 0})
    one, other = (dict(initialise(description.skeleton(), torch.Generator().manual_seed(seed))) for seed in range(2))
    for name, weights in {"one": one, "moved": reordered(one, torch.arange(16).roll(3)), "other": other}.items():
        place = repository(tmp_path / name, weights)
        (place / "config.json").write_text(json.dumps({"weightlake": description.model_dump()}))
        add_model(lake, f"local:{name}", place)
    near, apart = ["local:one", "local:moved"], ["local:one", "local:other"]
    made = merge(lake, near, align="weights")
    assert made.warnings == ()
    assert any("once aligned they are nearly one network" in note for note in made.notes)
    with pytest.raises(UsageError, match=r"unwise: local:one and local:other .* were aligned.*; judge their mean on"):
        merge(lake, apart, align="weights")
    made = merge(lake, apart, align="weights", force=True)
    assert "were aligned: some such networks can be averaged" in made.warnings[0]
    report = mergeability(lake, align(lake, query_of(lake, apart)).sql)
    assert report.verdict == "unwise"
    cosine = report.pairs["weight_cosine"][0]
    assert cosine < 0.9
    assert f"the cosine of their weights is {cosine:.2f}, which tells nothing of that" in made.warnings[0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_the_configuration_names_the_type_that_the_weights_have(hub: Lake, tmp_path: Path, dtype: str) -> None:
    from transformers import AutoModelForCausalLM

    made = merge(hub, TUNES, dtype=dtype, to=tmp_path / "merged")
    stored = load_file(made.folder / "model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(made.folder, dtype="auto")
    for name, parameter in model.named_parameters():
        assert parameter.dtype == stored[name].dtype
        assert torch.equal(parameter, stored[name])


def test_a_link_out_of_the_base_is_not_followed(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a token")
    shutil.copytree(folders, tmp_path / "models")
    (tmp_path / "models" / "tune0" / "vocab.json").symlink_to(tmp_path / "secret")
    lake = mined(tmp_path / "models", tmp_path / "lake")
    with pytest.raises(DataError, match=r"vocab\.json is a link that leads out of .*tune0"):
        merge(lake, TUNES, to=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float16", "precision": "float64"},
        {"method": "dare", "parent": "local:base", "density": 0.5, "seed": 3},
        {"keep": ["lm_head.*"], "weights": [1.0, 3.0]},
    ],
    ids=str,
)
def test_what_the_card_says_makes_the_same_model_again(hub: Lake, options: dict[str, Any]) -> None:
    made_again(hub, TUNES, **options)


WEIGHTED = "SELECT model_id, 1.0 + row_number() OVER (ORDER BY model_id) AS weight FROM model WHERE name LIKE 'tune%'"


@pytest.mark.parametrize(
    "options", [{"dtype": "bfloat16"}, {"method": "ties", "parent": "local:base", "normalize": False}], ids=str
)
def test_weights_of_a_query_are_left_to_the_query(hub: Lake, options: dict[str, Any]) -> None:
    made = made_again(hub, WEIGHTED, **options)
    card = (made.folder / "README.md").read_text()
    assert "weights=" not in card
    assert f"| stored in | {options.get('dtype', 'float32')} |" in card


def test_a_merge_that_had_to_be_forced_says_so(hub: Lake, tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("second", 6)):
        weights = {"w": torch.randn(40, 40, generator=torch.Generator().manual_seed(seed)).bfloat16()}
        add_model(hub, f"local:{name}", repository(tmp_path / name, weights))
    query = "SELECT model_id FROM model WHERE model_id IN ('local:first', 'local:second')"
    with pytest.raises(UsageError, match="force"):
        merge(hub, query)
    made = made_again(hub, query, force=True)
    assert "force=True" in (made.folder / "README.md").read_text()


def made_again(hub: Lake, query: str, **options: Any) -> Merged:
    """Merge, run what the card says where the lake lies, and see that the same model has come of it."""
    made = merge(hub, query, **options)
    before = load_weights(hub, made.model_id)
    code = re.findall(r"```python\n(.*?)```", (made.folder / "README.md").read_text(), re.DOTALL)[0]
    shutil.rmtree(made.folder)
    subprocess.run([sys.executable, "-c", code], cwd=hub.path.parent, check=True)
    assert hub.sql("SELECT model_id FROM product")["model_id"].to_list() == [made.model_id]
    after = load_weights(hub, made.model_id)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(before[name].dtype == after[name].dtype for name in before)
    return made


@pytest.mark.usefixtures(run.__name__)
def test_samples_that_statistics_are_computed_from_are_settings_of_the_merge(
    lake: Lake, tmp_path: Path, run: Run
) -> None:
    many_models(lake, tmp_path, 16, 3)
    options = ("--lake", lake.path, "--force", "--method", "fisher", "--json")
    few, more = (json.loads(run("merge", LOCAL, *options, "--samples", count).out)[0] for count in (2, 20))
    assert few["model_id"] != more["model_id"]
    assert "samples=2)" in (Path(few["folder"]) / "README.md").read_text()
    assert merge(lake, LOCAL, "fisher", samples=2, force=True).model_id == few["model_id"]
    assert merge(lake, LOCAL, force=True, samples=2).model_id == merge(lake, LOCAL, force=True).model_id
    with pytest.raises(UsageError, match="samples = 0: expected at least 1"):
        merge(lake, LOCAL, "fisher", samples=0, force=True)


@pytest.mark.usefixtures(run.__name__)
def test_files_are_as_large_as_one_asks_for(hub: Lake, tmp_path: Path, run: Run) -> None:
    said = run("merge", TUNES, "--lake", hub.path, "--to", tmp_path / "merged", "--shard-bytes", 8_000)
    assert said.code == 0, said.err
    assert len(list((tmp_path / "merged").glob("model-*.safetensors"))) > 1
    with pytest.raises(UsageError, match="shard_bytes = 0: expected at least 1"):
        merge(hub, TUNES, shard_bytes=0)


@pytest.mark.usefixtures(run.__name__)
@pytest.mark.parametrize("name", ["sql", "lake", "method", "progress", "shard_bytes", "samples"])
def test_what_is_no_setting_of_a_method_is_said(hub: Lake, run: Run, name: str) -> None:
    said = run("merge", TUNES, "--lake", hub.path, "--set", f"{name}=1")
    assert said.code == 2
    assert said.err == f"weightlake: --set {name}: that is no setting of a method; see weightlake merge --help\n"


@pytest.mark.usefixtures(run.__name__)
def test_models_may_be_named_instead_of_selected(hub: Lake, run: Run) -> None:
    by_query = merge(hub, TUNES, "slerp", t=0.2)
    assert merge(hub, ["local:tune0", "local:tune1"], "slerp", t=0.2).model_id == by_query.model_id
    assert merge(hub, ["local:tune1", "local:tune0"], "slerp", t=0.2).model_id != by_query.model_id
    options = ("--lake", hub.path, "--method", "slerp", "--set", "t=0.2", "--json")
    said = run("merge", "local:tune0", "local:tune1", *options)
    assert json.loads(said.out)[0]["model_id"] == by_query.model_id
    checked = run("merge", "--check", "local:tune0", "local:tune1", "local:base", "--lake", hub.path, "--json")
    assert len(json.loads(checked.out)["pairs"]) == 3
    with pytest.raises(UsageError, match="local:tune9 is not in this lake; near it"):
        merge(hub, ["local:tune0", "local:tune9"])
    with pytest.raises(UsageError, match="no model is named"):
        merge(hub, [])
