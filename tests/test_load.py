"""Loading: weights of trained models, alone and as the population that a query selects."""

from pathlib import Path

import pytest
import torch

from schemas import Lake, UsageError
from tests.mined_models import add_model, equal, repository
from zoo.load import Population, load_population, load_weights
from zoo.population import Weights
from zoo.recipe import Recipe


def test_a_population_is_its_models_in_the_order_of_the_query(undisturbed: Lake) -> None:
    sql = (
        "SELECT model_id, epoch, seed FROM member JOIN checkpoint USING (model_id) WHERE width = $width ORDER BY hash("
    )
    population = load_population(undisturbed, sql + "model_id || epoch)", width=3)
    assert len(population) == 4 * 3
    assert population.rows.columns == ["model_id", "epoch", "seed"]
    for index, (model_id, epoch, _) in enumerate(population.rows.iter_rows()):
        assert equal(population.member(index), load_weights(undisturbed, model_id, epoch))


def test_an_index_or_a_parameter_that_is_not_there_is_said(undisturbed: Lake) -> None:
    population = load_population(undisturbed, "SELECT model_id FROM member WHERE width = $width", width=3)
    for ask in (population.module, population.member):
        with pytest.raises(UsageError, match="index 99: expected 0 to 3, since these are 4 models"):
            ask(99)
    with pytest.raises(
        UsageError, match=r"^wide is given and the query has no \$wide: write it there, or leave it out"
    ):
        load_population(undisturbed, "SELECT model_id FROM member WHERE width = 3", wide=3)


def test_one_shard_is_read_in_the_order_of_the_query(undisturbed: Lake, recipe: Recipe) -> None:
    ids = [f"zoo:{recipe.population_id}/w3-b4-s{seed}" for seed in (1, 0, 1)]
    population = load_population(undisturbed, "SELECT unnest($ids) AS model_id", ids=ids)
    for index, model_id in enumerate(ids):
        assert equal(population.member(index), load_weights(undisturbed, model_id))


def test_without_an_epoch_the_final_weights_are_meant(undisturbed: Lake, recipe: Recipe) -> None:
    model_id = f"zoo:{recipe.population_id}/w4-b8-s1"
    assert equal(load_weights(undisturbed, model_id), load_weights(undisturbed, model_id, 3))
    assert not equal(load_weights(undisturbed, model_id), load_weights(undisturbed, model_id, 0))
    mixed = "SELECT $id AS model_id, unnest([NULL, 0]) AS epoch"
    population = load_population(undisturbed, mixed, id=model_id)
    assert equal(population.member(0), load_weights(undisturbed, model_id, 3))
    assert equal(population.member(1), load_weights(undisturbed, model_id, 0))
    unnamed = load_population(undisturbed, "SELECT $id AS model_id, NULL AS epoch", id=model_id)
    assert equal(unnamed.member(0), load_weights(undisturbed, model_id))


def everything(lake: Lake) -> Population:
    return load_population(lake, "SELECT model_id, epoch FROM checkpoint WHERE shard LIKE '%w3-%' ORDER BY ALL")


def test_a_split_keeps_all_checkpoints_of_a_model_together(undisturbed: Lake) -> None:
    population = everything(undisturbed)
    parts = population.split(train=0.5, validation=0.25, test=0.25, seed=3)
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "validation": 3, "test": 3}
    models = [set(part.rows["model_id"]) for part in parts.values()]
    assert len(set.union(*models)) == sum(map(len, models)) == 4
    for part in parts.values():
        for index, (model_id, epoch) in enumerate(part.rows.iter_rows()):
            assert equal(part.member(index), load_weights(undisturbed, model_id, epoch))


def test_a_split_hangs_on_its_seed(undisturbed: Lake) -> None:
    population = everything(undisturbed)
    splits = [population.split(seed=seed)["train"].rows["model_id"].to_list() for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len({tuple(ids) for ids in splits}) > 1


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.5, -0.5, 0.0), (0.0, 0.0, 0.0)])
def test_shares_that_do_not_add_up_are_refused(undisturbed: Lake, shares: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="expected shares that sum to 1"):
        everything(undisturbed).split(*shares)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS x", r"the query returns x; it has to return model_id, and may return epoch"),
        ("SELECT model_id FROM member WHERE false", r"the query selects no model"),
        ("SELECT NULL AS model_id", r"rows without model_id; add WHERE model_id IS NOT NULL"),
        ("SELECT ['a'] AS model_id", r"a model_id of type List\(String\); expected text, a model a row"),
        ("SELECT model_id, 1.5 AS epoch FROM member", r"an epoch of type Decimal.*; cast it to INTEGER"),
        ("SELECT model_id, 7 AS epoch FROM member", r"has no checkpoint of epoch 7: expected one of 0, 1, 3, or none"),
        ("SELECT 'zoo:tin/w3-b4-s0' AS model_id", r"zoo:tin/w3-b4-s0 is not in this lake; near it: zoo:tiny-\w+/w3"),
        ("SELEC model_id", r"syntax error"),
        ("SELECT model_id FROM membre", r"membre"),
    ],
)
def test_a_query_that_selects_nothing_usable_is_refused_in_one_line(undisturbed: Lake, sql: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        load_population(undisturbed, sql)
    assert "\n" not in str(refused.value)


def test_models_of_other_shapes_are_named_with_the_tensor_that_differs(undisturbed: Lake, recipe: Recipe) -> None:
    with pytest.raises(UsageError) as refused:
        load_population(undisturbed, "SELECT model_id FROM member ORDER BY model_id")
    assert str(refused.value) == (
        f"these cannot be stacked: tensor linear1.bias is [3] float32 in zoo:{recipe.population_id}/w3-b4-s0 and [4] "
        f"float32 in zoo:{recipe.population_id}/w4-b4-s0; select models of the same shapes, e.g. with WHERE "
        "architecture = ... AND width = ..."
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
