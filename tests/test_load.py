"""Loading: weights of trained, made, published and mined models, alone and stacked, and what cannot be had."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from schemas import DataError, Lake, UsageError, open_lake
from tests.tiny_population import tiny_recipe
from zoo.build import build
from zoo.datasets import load_dataset
from zoo.load import Population, describe, describe_all, load_module, load_population, load_weights
from zoo.population import Weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("trained")
    lake = open_lake(folder / "lake")
    build(lake, tiny_recipe(folder))
    return lake


@pytest.fixture(scope="module")
def population_id(trained: Lake) -> str:
    found: str = trained.sql("SELECT population_id FROM population").item()
    return found


def equal(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def add_model(lake: Lake, model_id: str, location: Path | None, **columns: object) -> None:
    """A mined model as a miner leaves it."""
    hub, _, path = model_id.partition(":")
    owner, _, name = path.partition("/")
    row = {"model_id": model_id, "hub": hub, "owner": owner, "name": name, "sha": None}
    place = None if location is None else str(location)
    with lake.write() as transaction:
        transaction.append("model", pl.DataFrame([row | {"location": place} | columns]))


def repository(folder: Path, weights: Weights, file: str = "model.safetensors") -> Path:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / file)
    return folder


def test_a_population_is_its_models_in_the_order_of_the_query(trained: Lake) -> None:
    sql = (
        "SELECT model_id, epoch, seed FROM member JOIN checkpoint USING (model_id) WHERE width = $width ORDER BY hash("
    )
    population = load_population(trained, sql + "model_id || epoch)", width=3)
    assert len(population) == 4 * 3
    assert population.rows.columns == ["model_id", "epoch", "seed"]
    for index, (model_id, epoch, _) in enumerate(population.rows.iter_rows()):
        assert equal(population.member(index), load_weights(trained, model_id, epoch))


def test_one_shard_is_read_in_the_order_of_the_query(trained: Lake, population_id: str) -> None:
    ids = [f"zoo:{population_id}/w3-b4-s{seed}" for seed in (1, 0, 1)]
    population = load_population(trained, "SELECT unnest($ids) AS model_id", ids=ids)
    for index, model_id in enumerate(ids):
        assert equal(population.member(index), load_weights(trained, model_id))


def test_without_an_epoch_the_final_weights_are_meant(trained: Lake, population_id: str) -> None:
    model_id = f"zoo:{population_id}/w4-b8-s1"
    assert equal(load_weights(trained, model_id), load_weights(trained, model_id, 3))
    assert not equal(load_weights(trained, model_id), load_weights(trained, model_id, 0))
    mixed = "SELECT $id AS model_id, unnest([NULL, 0]) AS epoch"
    population = load_population(trained, mixed, id=model_id)
    assert equal(population.member(0), load_weights(trained, model_id, 3))
    assert equal(population.member(1), load_weights(trained, model_id, 0))


def everything(lake: Lake) -> Population:
    return load_population(lake, "SELECT model_id, epoch FROM checkpoint WHERE shard LIKE '%w3-%' ORDER BY ALL")


def test_a_split_keeps_all_checkpoints_of_a_model_together(trained: Lake) -> None:
    population = everything(trained)
    parts = population.split(train=0.5, validation=0.25, test=0.25, seed=3)
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "validation": 3, "test": 3}
    models = [set(part.rows["model_id"]) for part in parts.values()]
    assert len(set.union(*models)) == sum(map(len, models)) == 4
    for part in parts.values():
        for index, (model_id, epoch) in enumerate(part.rows.iter_rows()):
            assert equal(part.member(index), load_weights(trained, model_id, epoch))


def test_a_split_hangs_on_its_seed(trained: Lake) -> None:
    population = everything(trained)
    splits = [population.split(seed=seed)["train"].rows["model_id"].to_list() for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len({tuple(ids) for ids in splits}) > 1


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.5, -0.5, 0.0), (0.0, 0.0, 0.0)])
def test_shares_that_do_not_add_up_are_refused(trained: Lake, shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="expected shares that sum to 1"):
        everything(trained).split(*shares)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS x", r"the query returns x; it has to return model_id, and may return epoch"),
        ("SELECT model_id FROM member WHERE false", r"the query selects no model"),
        ("SELECT NULL AS model_id", r"rows without model_id; add WHERE model_id IS NOT NULL"),
        ("SELECT model_id, 1.5 AS epoch FROM member", r"an epoch of type Decimal.*; cast it to INTEGER"),
        ("SELECT model_id, 7 AS epoch FROM member", r"has no checkpoint of epoch 7: expected one of 0, 1, 3, or none"),
        ("SELECT 'zoo:tin/w3-b4-s0' AS model_id", r"zoo:tin/w3-b4-s0 is not in this lake; near it: zoo:tiny-\w+/w3"),
        ("SELEC model_id", r"syntax error"),
        ("SELECT model_id FROM membre", r"membre"),
    ],
)
def test_a_query_that_selects_nothing_usable_is_refused_in_one_line(trained: Lake, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        load_population(trained, sql)
    assert "\n" not in str(refused.value)


def test_models_of_other_shapes_are_named_with_the_tensor_that_differs(trained: Lake, population_id: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_population(trained, "SELECT model_id FROM member ORDER BY model_id")
    assert str(refused.value) == (
        f"these cannot be stacked: tensor linear1.bias is [3] float32 in zoo:{population_id}/w3-b4-s0 and [4] float32 "
        f"in zoo:{population_id}/w4-b4-s0; select models of the same shapes, e.g. with WHERE architecture = ... AND "
        "width = ..."
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": torch.zeros(2)}, r"tensor b is \[1\] float32 in local:x/one and absent in local:x/two"),
        (
            {"a": torch.zeros(2), "b": torch.zeros(1), "c": torch.zeros(1)},
            r"tensor c is absent in local:x/one and \[1\]",
        ),
        ({"a": torch.zeros(2).half(), "b": torch.zeros(1)}, r"tensor a is \[2\] float32 in .* and \[2\] float16 in"),
    ],
)
def test_models_of_other_tensors_are_refused(lake: Lake, tmp_path: Path, other: Weights, message: str) -> None:
    one = {"a": torch.zeros(2), "b": torch.zeros(1)}
    add_model(lake, "local:x/one", repository(tmp_path / "one", one))
    add_model(lake, "local:x/two", repository(tmp_path / "two", other))
    with pytest.raises(UsageError, match=message):
        load_population(lake, "SELECT model_id FROM model ORDER BY model_id")


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


class _Bomb:
    """Would run code if anybody unpickled it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "weights/model.pkl", "model.ckpt"])
def test_a_pickle_is_never_opened(lake: Lake, tmp_path: Path, file: str) -> None:
    path = tmp_path / "m" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(_Bomb(tmp_path / "ran")))
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


def test_a_hubs_model_that_is_not_here_says_how_to_fetch_it(lake: Lake) -> None:
    add_model(lake, "huggingface:nobody-here/name", None, sha="b" * 40)
    command = rf'hf download nobody-here/name --revision {"b" * 40} --include "\*\.safetensors" "\*\.json"'
    with pytest.raises(UsageError, match=f"are not on this machine; fetch them with: {command}"):
        load_weights(lake, "huggingface:nobody-here/name")


def test_a_hubs_model_that_has_only_pickles_is_refused_before_it_is_fetched(lake: Lake) -> None:
    add_model(lake, "huggingface:nobody-here/name", None)
    with lake.write() as transaction:
        files = {"model_id": "huggingface:nobody-here/name", "path": ["config.json", "pytorch_model.bin"]}
        transaction.append("file", pl.DataFrame(files))
    with pytest.raises(UsageError, match=r"has its weights in pytorch_model\.bin and in no safetensors file"):
        load_weights(lake, "huggingface:nobody-here/name")


def test_a_trained_model_is_described_from_its_population(trained: Lake, population_id: str) -> None:
    model_id = f"zoo:{population_id}/w3-b4-s1"
    description = describe(trained, model_id)
    assert (description.architecture, description.width, description.classes) == ("mlp", 3, 3)
    assert (description.input_shape, description.split_seed) == ((1, 8, 8), 0)
    assert description.dataset == trained.sql("SELECT dataset FROM population").item()
    assert description.init == describe(trained, f"zoo:{population_id}/w3-b8-s1").init
    assert description.init != describe(trained, f"zoo:{population_id}/w3-b8-s0").init


def test_descriptions_come_in_order(trained: Lake, population_id: str) -> None:
    ids = [f"zoo:{population_id}/{name}" for name in ("w4-b4-s0", "w3-b4-s0", "w4-b4-s0")]
    assert [description.width for description in describe_all(trained, ids)] == [4, 3, 4]


def test_a_made_model_is_described_by_its_ingredients(trained: Lake, population_id: str) -> None:
    soup, of_soups = "made:soup/a", "made:soup/b"
    with trained.write() as transaction:
        transaction.append("product", pl.DataFrame({"model_id": [soup, of_soups], "method": "uniform_soup"}))
        parents = {soup: f"zoo:{population_id}/w3-b4-s0", of_soups: soup}
        lineage = {"child_id": list(parents), "parent_id": list(parents.values()), "relation": "soup"}
        transaction.append("lineage", pl.DataFrame(lineage))
    assert describe(trained, soup) == describe(trained, f"zoo:{population_id}/w3-b4-s0")
    assert describe(trained, of_soups) == describe(trained, soup)


def test_a_product_of_itself_is_no_riddle_without_end(lake: Lake) -> None:
    with lake.write() as transaction:
        transaction.append("product", pl.DataFrame({"model_id": ["made:soup/a"], "method": "uniform_soup"}))
        lineage = {"child_id": ["made:soup/a"], "parent_id": ["made:soup/a"], "relation": "soup"}
        transaction.append("lineage", pl.DataFrame(lineage))
    with pytest.raises(UsageError, match="nobody here knows how made:soup/a is built"):
        describe(lake, "made:soup/a")


@pytest.mark.parametrize("config", [None, "{}", '{"model_type": "bert"}', "no JSON", "[]"])
def test_a_model_of_another_library_is_not_described(lake: Lake, tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    add_model(lake, "local:x/m", tmp_path)
    with pytest.raises(UsageError, match="nobody here knows how local:x/m is built"):
        describe(lake, "local:x/m")


def test_a_damaged_configuration_of_ours_is_named(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"weightlake": {"architecture": "mlp"}}')
    add_model(lake, "local:x/m", tmp_path)
    with pytest.raises(DataError, match=r"config\.json is damaged: weightlake\.width: Field required"):
        describe(lake, "local:x/m")


def test_a_loaded_module_does_what_training_said(trained: Lake, population_id: str) -> None:
    model_id = f"zoo:{population_id}/w4-b4-s1"
    description = describe(trained, model_id)
    test = load_dataset(description.dataset, description.split_seed).test
    with torch.no_grad():
        hits = load_module(trained, model_id)(test.x).argmax(1) == test.y
    said = "SELECT value FROM training WHERE model_id = $model_id AND split = 'test' AND metric = 'accuracy'"
    assert hits.double().mean().item() == pytest.approx(trained.sql(said, model_id=model_id).item())


def test_weights_of_another_architecture_are_refused(lake: Lake, tmp_path: Path) -> None:
    block = {"architecture": "mlp", "width": 3, "classes": 3, "input_shape": [1, 8, 8], "dataset": "d", "split_seed": 0}
    folder = repository(tmp_path / "m", {"a": torch.ones(2)})
    (folder / "config.json").write_text(json.dumps({"weightlake": block}))
    add_model(lake, "local:x/m", folder)
    with pytest.raises(DataError, match="the weights of local:x/m are not those of a mlp"):
        load_module(lake, "local:x/m")


@pytest.mark.data
def test_models_that_somebody_else_trained_stack_by_their_shapes(lake: Lake, data_folder: Path, tmp_path: Path) -> None:
    files = sorted((data_folder / "weights" / "silverman_deformation").glob("models__forward__*.safetensors"))
    for file in files:
        (tmp_path / file.stem).mkdir()
        (tmp_path / file.stem / "model.safetensors").symlink_to(file)
        add_model(lake, f"local:silverman/{file.stem}", tmp_path / file.stem)
    population = load_population(lake, "SELECT model_id FROM model ORDER BY model_id")
    assert len(population) == len(files) == 10
    assert len(population.split()["train"]) == 10 - 2 - 2
