"""A loaded population as a matrix, as tokens, as modules and as a dataset of torch, and its splits without leaks."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.data import DataLoader

from schemas import Lake, UsageError
from tests.mined_models import equal
from tests.tiny_population import tiny_recipe
from zoo import build, plan
from zoo.flat import flat
from zoo.load import Population, load_population, load_populations, load_weights
from zoo.population import forward
from zoo.recipe import Recipe
from zoo.tokens import tokens

ALL = "SELECT model_id, seed, learning_rate FROM member WHERE width = 3 ORDER BY model_id"


def test_only_the_named_tensors_are_read_in_their_order(undisturbed: Lake) -> None:
    names = ["linear2.weight", "linear1.bias"]
    population = load_population(undisturbed, ALL, tensors=names)
    assert list(population.tensors) == names
    whole = load_population(undisturbed, ALL)
    assert all(torch.equal(population.tensors[name], whole.tensors[name]) for name in names)
    assert list(load_population(undisturbed, ALL, tensors="linear1.bias").tensors) == ["linear1.bias"]
    with pytest.raises(UsageError, match=r"tensors=\[\] names none; name one or several, or leave it out for all"):
        load_population(undisturbed, ALL, tensors=[])
    with pytest.raises(UsageError, match=r"has no tensor 'linear9\.weight'; it has linear1\.bias, .*"):
        load_population(undisturbed, ALL, tensors=["linear9.weight"])


def test_tensors_come_in_the_type_that_is_asked_for(undisturbed: Lake) -> None:
    population = load_population(undisturbed, ALL, dtype=torch.float64, device="cpu")
    single = load_weights(undisturbed, population.rows["model_id"][1])
    assert all(torch.equal(population.member(1)[name], tensor.double()) for name, tensor in single.items())


def test_a_population_shows_its_shapes_and_not_its_numbers(undisturbed: Lake) -> None:
    shown = repr(load_population(undisturbed, ALL, tensors=["linear1.weight", "linear1.bias"]))
    assert shown == (
        "Population of 4 models: linear1.weight [4, 3, 64], linear1.bias [4, 3]; rows: model_id, seed, learning_rate"
    )


def test_models_of_several_shapes_come_as_several_populations(undisturbed: Lake) -> None:
    populations = load_populations(undisturbed, "SELECT model_id, width FROM member ORDER BY seed, width DESC")
    assert [sorted(set(population.rows["width"])) for population in populations] == [[4], [3]]
    for population in populations:
        assert len(population) == 4
        for index, model_id in enumerate(population.rows["model_id"]):
            assert equal(population.member(index), load_weights(undisturbed, model_id))


def test_a_matrix_has_a_row_a_model_and_goes_back(undisturbed: Lake) -> None:
    population = load_population(undisturbed, ALL)
    written = population.flat()
    assert written.matrix.shape == (4, 64 * 3 + 3 + 3 * 3 + 3 + 3 * 3 + 3)
    place = next(place for place in written.layout if place.name == "linear1.weight")
    assert torch.equal(written.matrix[2, place.begin : place.end].view(place.shape), population.member(2)[place.name])
    assert equal(written.tensors(), population.tensors)
    moved = written.tensors(written.matrix[:1] * 2)
    assert torch.equal(moved["linear1.bias"], population.tensors["linear1.bias"][:1] * 2)
    with pytest.raises(UsageError, match=r"a matrix of shape \[4, 7\]: expected \[N, 219\]"):
        written.tensors(torch.zeros(4, 7))


@pytest.mark.parametrize("architecture", ["mlp", "resnet18", "vit"])
def test_a_matrix_of_parameters_is_what_torch_writes_and_reads(architecture: str, lake: Lake, tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, architecture=architecture, epochs=1, width="[4]", batch_size="[21]")
    build(lake, recipe, device="cpu", workers=1)
    population = load_population(lake, "SELECT model_id FROM member ORDER BY seed DESC")
    written = population.flat("parameters")
    for index, row in enumerate(written.matrix):
        module = population.module(index)
        assert torch.equal(row, parameters_to_vector(module.parameters()))
        vector_to_parameters(row, (parameters := [torch.empty_like(each) for each in module.parameters()]))
        assert all(torch.equal(*pair) for pair in zip(parameters, module.parameters(), strict=True))
    assert [place.name for place in written.layout] == [name for name, _ in population.module(0).named_parameters()]
    assert [place.name for place in population.flat().layout] == sorted(population.tensors)
    few = load_population(lake, "SELECT model_id FROM member", tensors=[sorted(population.tensors)[0]])
    with pytest.raises(UsageError, match=r"order 'parameters' needs .*; load the population without tensors="):
        few.flat("parameters")
    with pytest.raises(UsageError, match="order 'module': expected one of: names, parameters"):
        few.flat("module")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"dtype": torch.int8},
            "dtype 'int8': weights stay floating point numbers; expected one of: bfloat16, float16",
        ),
        ({"dtype": "int8"}, "dtype 'int8': weights stay floating point numbers; expected one of: bfloat16, float16"),
        ({"dtype": "flaot16"}, "did you mean 'float16'"),
        ({"device": "gpu"}, "device 'gpu' is not to be had here .*; take 'cpu' or 'auto'"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not to be had here .*; take 'cpu' or 'auto'"),
    ],
)
def test_types_and_devices_that_cannot_be_are_refused_in_one_line(
    undisturbed: Lake, arguments: dict[str, Any], message: str
) -> None:
    for load in (load_population, load_populations):
        with pytest.raises(UsageError, match=message) as refused:
            load(undisturbed, ALL, **arguments)
        assert "\n" not in str(refused.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_one_line(undisturbed: Lake) -> None:
    with pytest.raises(UsageError, match="device 'cuda': torch finds no GPU here; take 'cpu' or 'auto'"):
        load_population(undisturbed, ALL, device="cuda")


def test_types_may_be_named_and_devices_chosen(undisturbed: Lake) -> None:
    population = load_population(undisturbed, ALL, dtype="float16", device="auto")
    assert {tensor.dtype for tensor in population.tensors.values()} == {torch.float16}


def test_the_folder_of_a_lake_in_its_place_is_answered_by_how_to_open_it(undisturbed: Lake, tmp_path: Path) -> None:
    calls: list[Callable[[Any], object]] = [
        lambda lake: load_population(lake, ALL),
        lambda lake: load_populations(lake, ALL),
        lambda lake: load_weights(lake, "zoo:a/b"),
        lambda lake: build(lake, "digits-tiny"),
        lambda lake: plan(lake, "digits-tiny"),
    ]
    for call, folder in product(calls, (undisturbed.path, str(undisturbed.path))):
        with pytest.raises(
            UsageError, match=r"is no opened lake; expected open_lake\('.*lake'\), which comes from schemas"
        ):
            call(folder)
    with pytest.raises(UsageError, match=f"{tmp_path} is no published dataset"):
        load_population(tmp_path, ALL)


def test_counters_keep_their_type_through_a_matrix() -> None:
    tensors = {"weight": torch.rand(2, 3), "num_batches_tracked": torch.tensor([5, 7])}
    back = flat(tensors).tensors()
    assert back["num_batches_tracked"].dtype == torch.int64
    assert equal(back, tensors)


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 9),
    size=st.integers(1, 12),
    bias=st.booleans(),
    seed=st.integers(0, 9),
)
def test_tokens_go_back_to_the_tensors_that_they_were_cut_from(
    rows: int, columns: int, size: int, bias: bool, seed: int
) -> None:
    source = torch.Generator().manual_seed(seed)
    tensors = {
        "blocks.10.weight": torch.rand(2, rows, columns, generator=source),
        "blocks.2.weight": torch.rand(2, rows, 1, 3, 3, generator=source),
        "scale": torch.rand(2, generator=source),
    }
    if bias:
        tensors["blocks.10.bias"] = torch.rand(2, rows, generator=source)
    cut = tokens(tensors, size)
    assert equal(cut.tensors(), tensors)
    assert cut.values.shape == (2, len(cut.positions), size)
    assert not cut.values[:, ~cut.mask].any()
    assert int(cut.mask.sum()) == sum(tensor[0].numel() for tensor in tensors.values())
    assert cut.positions[:, 0].tolist() == list(range(len(cut.positions)))
    assert [layer[0][0] for layer in cut.layers][:2] == ["blocks.2.weight", "blocks.10.weight"]


def test_tokens_are_rows_with_their_bias_cut_into_pieces() -> None:
    weight = torch.arange(6.0).view(1, 2, 3)
    cut = tokens({"layer.bias": torch.tensor([[10.0, 11.0]]), "layer.weight": weight}, 3)
    assert cut.values[0].tolist() == [[0, 1, 2], [10, 0, 0], [3, 4, 5], [11, 0, 0]]
    assert cut.mask.tolist() == [[True] * 3, [True, False, False]] * 2
    assert cut.positions.tolist() == [[0, 0, 0], [1, 0, 1], [2, 0, 2], [3, 0, 3]]
    with pytest.raises(UsageError, match="size = 0: expected at least 1"):
        tokens({"weight": weight}, 0)


def test_a_module_runs_and_is_a_copy(undisturbed: Lake) -> None:
    population = load_population(undisturbed, ALL)
    x = torch.rand(5, 1, 8, 8)
    module = population.module(2)
    logits = forward(module, population.tensors, x)
    torch.testing.assert_close(module(x), logits[2])
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert population.member(2)["linear1.weight"].any()
    with pytest.raises(UsageError, match="cannot be run with these tensors"):
        load_population(undisturbed, ALL, tensors=["linear1.weight"]).module(0)
    with pytest.raises(UsageError, match="was not loaded from a lake"):
        Population(population.tensors, population.rows).module(0)


def test_a_dataset_of_torch_gives_weights_and_targets(undisturbed: Lake) -> None:
    population = load_population(undisturbed, ALL)
    pairs = population.dataset(["seed", "learning_rate"])
    (weights, targets), *_ = DataLoader(pairs, batch_size=4)
    assert torch.equal(weights, population.flat().matrix)
    assert torch.equal(targets, torch.tensor([[0, 0.05], [1, 0.05]] * 2))
    sequence, _ = population.dataset("seed", form="tokens", size=4)[3]
    assert torch.equal(torch.as_tensor(sequence), population.tokens(4).values[3])
    with pytest.raises(UsageError, match=r"target 'sed': expected one of: .*; did you mean 'seed'"):
        population.dataset("sed")
    with pytest.raises(UsageError, match="target 'model_id' is String; expected a column of numbers"):
        population.dataset("model_id")


def test_fine_tunes_of_one_parent_never_straddle(copied: Lake, recipe: Recipe) -> None:
    """Two of four models descend from one that is not selected, and a third from a child of it."""
    name = f"zoo:{recipe.population_id}/w3-b{{}}-s{{}}"
    lines = [(name.format(4, 0), "a"), (name.format(4, 1), "a"), ("b", "a"), (name.format(8, 0), "b")]
    steps = pl.DataFrame(lines, schema=["child_id", "parent_id"], orient="row")
    with copied.write() as transaction:
        transaction.append("lineage", steps.with_columns(relation=pl.lit("finetune")))
    population = load_population(copied, "SELECT model_id, epoch FROM checkpoint WHERE shard LIKE '%w3-%' ORDER BY ALL")
    for seed in range(5):
        parts = population.split(0.5, 0.0, 0.5, seed)
        kin = [part for part, models in parts.items() if {line[0] for line in lines} & set(models.rows["model_id"])]
        assert len(kin) == 1
        assert sorted(len(models) for models in parts.values()) == [0, 3, 9]
    only_kin = load_population(copied, "SELECT unnest($ids) AS model_id", ids=[name.format(4, 0), name.format(4, 1)])
    with pytest.raises(UsageError, match="there is no family of models for the part test: 2 of them descend from or"):
        only_kin.split(0.5, 0.0, 0.5)
