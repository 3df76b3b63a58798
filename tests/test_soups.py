"""Soups: the averages against torch's own, the search against a slow one, and what the lake keeps of them."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from learners import Soup, greedy_soup, uniform_soup
from learners.soups.average import average, differing_integers, mean_of
from learners.soups.comparison import compare, judge
from learners.soups.greedy import greedy
from schemas import Lake, UsageError, open_lake
from zoo import build, load_weights
from zoo.architectures import skeleton
from zoo.datasets import load_dataset
from zoo.population import Samples, stack


def small_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()


def test_the_average_equals_torchs_own_in_float64() -> None:
    members = [small_network(seed) for seed in range(7)]
    oracle = AveragedModel(members[0])
    for member in members:
        oracle.update_parameters(member)
    mean = average(stack([dict(member.named_parameters()) for member in members]))
    for name, parameter in oracle.module.named_parameters():
        torch.testing.assert_close(mean[name], parameter, rtol=0, atol=1e-15)  # seven additions in another order


@given(st.integers(1, 9), st.sampled_from([torch.float16, torch.bfloat16, torch.float32]))
def test_equal_members_average_to_themselves_in_every_type(members: int, dtype: torch.dtype) -> None:
    tensor = torch.linspace(-3, 3, 11).to(dtype)
    mean = average({"w": tensor.expand(members, -1)})["w"]
    assert mean.dtype == dtype
    assert torch.equal(mean, tensor)
    assert torch.equal(mean_of({"w": tensor} for _ in range(members))["w"], mean)


def test_small_types_are_summed_in_float64() -> None:
    stacked = torch.tensor([60000.0, 60000.0, 1.0], dtype=torch.float16)[:, None]  # their sum is beyond float16
    assert average({"w": stacked})["w"].item() == 40000.0
    assert mean_of({"w": value} for value in stacked)["w"].item() == 40000.0


def test_integers_are_never_averaged() -> None:
    stacked = {"steps": torch.tensor([[3], [5]]), "mask": torch.tensor([[True], [True]])}
    assert average(stacked)["steps"].tolist() == [3]
    models = [{name: each[number] for name, each in stacked.items()} for number in range(2)]
    assert differing_integers(models) == ["steps"]
    assert mean_of(models)["steps"].tolist() == [3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_the_greedy_search_is_that_of_the_paper(scores: list[float]) -> None:
    """Members are one-hot, so an average tells who is in it and any score can be given to any subset."""
    population = {"w": torch.eye(len(scores), dtype=torch.float64)}

    def score(weights: dict[str, torch.Tensor]) -> float:
        inside = [index for index, share in enumerate(weights["w"].tolist()) if share > 0]
        return hash(tuple(inside)) % 7 + scores[inside[-1]]

    chosen: list[int] = []
    for index in range(len(scores)):
        trial = sorted([*chosen, index])
        as_weights = {"w": torch.tensor([index in trial for index in range(len(scores))]).double()}
        before = {"w": torch.tensor([index in chosen for index in range(len(scores))]).double()}
        if not chosen or score(as_weights) >= score(before):
            chosen.append(index)
    assert [trial.member for trial in greedy(population, range(len(scores)), score) if trial.kept] == chosen


def test_the_comparison_equals_one_model_after_the_other() -> None:
    members = [small_network(seed).eval() for seed in range(5)]
    generator = torch.Generator().manual_seed(0)
    samples = [
        Samples(torch.randn(200, 4, generator=generator).double(), torch.randint(3, (200,), generator=generator))
        for _ in range(2)
    ]
    population = stack([{name: tensor.detach() for name, tensor in member.named_parameters()} for member in members])
    soup = average(population)
    parts = dict(zip(("validation", "test"), samples, strict=True))
    judged = {
        split: judge(members[0], [dict(each.named_parameters()) for each in members], parts[split]) for split in parts
    }
    found = compare(members[0], soup, judged, parts)
    figures = {(figure.candidate, figure.split): figure for figure in found}
    with torch.no_grad():
        logits = [torch.stack([member(part.x) for member in members]) for part in samples]
    single = [(each.argmax(2) == part.y).double().mean(1) for each, part in zip(logits, samples, strict=True)]
    best = int(single[0].argmax())
    assert figures["best single", "test"].accuracy == pytest.approx(float(single[1][best]))
    assert figures["mean member", "test"].accuracy == pytest.approx(float(single[1].mean()))
    assert figures["mean member", "test"].standard_error == pytest.approx(float(single[1].std()) / 5**0.5)
    together = (logits[1].mean(0).argmax(1) == samples[1].y).double().mean()
    assert figures["logit ensemble", "test"].accuracy == pytest.approx(float(together))
    slow = torch.stack([cross_entropy(each, samples[0].y, reduction="sum") for each in logits[0]])
    torch.testing.assert_close(judged["validation"].scores.loss_sum, slow)
    share = figures["best single", "validation"].accuracy
    assert figures["best single", "validation"].standard_error == pytest.approx((share * (1 - share) / 200) ** 0.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with eight members of one start, and the tiny grid of members with starts of their own."""
    lake = open_lake(tmp_path_factory.mktemp("soups") / "lake")
    build(lake, "digits-shared")
    build(lake, "digits-tiny")
    return lake


TOGETHER = "SELECT model_id FROM models WHERE population = 'digits-shared'"
APART = "SELECT model_id FROM models WHERE population = 'digits-tiny' AND width = 16 AND batch_size = 32"


def figure(soup: Soup, candidate: str, split: str = "test") -> float:
    row = soup.comparison.filter(candidate=candidate, split=split)
    return float(row["accuracy"][0])


def test_a_soup_of_members_that_share_a_start_holds_up(trained: Lake) -> None:
    uniform, greedy_one = uniform_soup(trained, TOGETHER), greedy_soup(trained, TOGETHER)
    assert len(uniform.ingredients) == 8
    assert uniform.left_out == ()
    assert set(greedy_one.ingredients) | set(greedy_one.left_out) == set(uniform.ingredients)
    assert figure(uniform, "soup") >= figure(uniform, "mean member") - 0.02
    assert figure(greedy_one, "soup", "validation") >= figure(greedy_one, "best single", "validation")
    assert uniform.warnings == greedy_one.warnings == ()


def test_a_soup_is_a_model_of_the_lake(trained: Lake) -> None:
    soup = uniform_soup(trained, TOGETHER)
    row = trained.sql("SELECT * FROM models WHERE model_id = $id", id=soup.model_id).row(0, named=True)
    assert (row["origin"], row["method"], row["architecture"]) == ("made", "uniform_soup", "cnn")
    assert row["test_accuracy"] == pytest.approx(figure(soup, "soup"))
    weights = load_weights(trained, soup.model_id)
    members = [load_weights(trained, model_id) for model_id in soup.ingredients]
    for name, tensor in weights.items():
        mean = torch.stack([member[name] for member in members]).double().mean(0)
        torch.testing.assert_close(tensor.double(), mean, rtol=1e-6, atol=1e-7)  # float32 rounding
    parents = trained.sql("SELECT parent_id FROM lineage WHERE child_id = $id", id=soup.model_id)
    assert set(parents["parent_id"]) == set(soup.ingredients)
    settings = json.loads(
        trained.sql("SELECT settings FROM product WHERE model_id = $id", id=soup.model_id)["settings"][0]
    )
    assert settings["sql"] == TOGETHER
    assert evaluated(trained, weights) == pytest.approx(figure(soup, "soup"))


def evaluated(lake: Lake, weights: dict[str, torch.Tensor]) -> float:
    """Test accuracy by a plain module, one model at a time."""
    digits = load_dataset("digits", 0)
    with torch.device("cpu"):
        module = skeleton("cnn", digits.input_shape, digits.classes, 16).to_empty(device="cpu")
    module.load_state_dict(weights)
    with torch.no_grad():
        return float((module(digits.test.x).argmax(1) == digits.test.y).double().mean())


def test_cooking_again_changes_nothing(trained: Lake) -> None:
    counts = "SELECT (SELECT count(*) FROM model), (SELECT count(*) FROM lineage), (SELECT count(*) FROM measurement)"
    first = uniform_soup(trained, TOGETHER)
    before = trained.sql(counts).row(0)
    assert uniform_soup(trained, TOGETHER).model_id == first.model_id
    assert trained.sql(counts).row(0) == before


def test_a_soup_can_be_an_ingredient(trained: Lake) -> None:
    first = uniform_soup(trained, TOGETHER)
    member = first.ingredients[0]
    again = uniform_soup(trained, f"SELECT unnest(['{first.model_id}', '{member}']) AS model_id")
    assert set(again.ingredients) == {first.model_id, member}


def test_the_checkpoints_of_one_run_can_be_averaged(trained: Lake) -> None:
    query = f"SELECT model_id, epoch FROM checkpoint WHERE model_id = ({APART} LIMIT 1) AND epoch > 0"
    soup = uniform_soup(trained, query)
    assert len(soup.ingredients) == 2
    assert len(set(soup.ingredients)) == 1


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (APART, r"possible but unwise: .* do not share an initialisation"),
        ("SELECT model_id FROM models WHERE width = 8 OR width = 16 AND population = 'digits-tiny'", "has width 8"),
        ("SELECT model_id FROM member", "has architecture"),
        (f"{TOGETHER} LIMIT 1", "at least 2 models, and the query selects 1"),
        (f"{TOGETHER} AND false", "selects no model"),
        (f"{TOGETHER} UNION ALL {TOGETHER}", "selected twice; add DISTINCT"),
        ("SELECT seed FROM member", "returns seed; it has to return model_id"),
        ("SELECT 'zoo:nowhere/w1' AS model_id UNION ALL SELECT 'zoo:nowhere/w2'", "zoo:nowhere/w1"),
    ],
)
def test_what_cannot_or_should_not_be_averaged_is_refused_with_the_reason(
    trained: Lake, query: str, reason: str
) -> None:
    before = trained.sql("SELECT count(*) AS n FROM product")["n"][0]
    with pytest.raises(UsageError, match=reason) as raised:
        uniform_soup(trained, query)
    assert "\n" not in str(raised.value)
    assert trained.sql("SELECT count(*) AS n FROM product")["n"][0] == before


def test_force_averages_what_is_unwise_and_the_soup_collapses(trained: Lake) -> None:
    soup = uniform_soup(trained, APART, force=True)
    assert "do not share an initialisation" in soup.warnings[0]
    assert figure(soup, "soup") < figure(soup, "mean member") - 0.1
    settings = trained.sql("SELECT settings->'warnings' AS w FROM product WHERE model_id = $id", id=soup.model_id)["w"][
        0
    ]
    assert "initialisation" in settings


def test_force_does_not_average_the_impossible(trained: Lake) -> None:
    with pytest.raises(UsageError, match="has architecture"):
        uniform_soup(trained, "SELECT model_id FROM member", force=True)


def test_a_diverged_member_is_unwise(trained: Lake, tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake")
    recipe = tmp_path / "wild.toml"
    recipe.write_text(
        'name = "wild"\narchitecture = "mlp"\ndataset = "digits"\nepochs = 2\ninit_seed = 0\n'
        "[grid]\nwidth = 4\nbatch_size = 64\nseeds = 1\nlearning_rate = [0.01, 0.02, 1e30]\n"
    )
    build(lake, recipe)
    with pytest.raises(UsageError, match=r"unwise: .*lr1e\+?30.* diverged in epoch"):
        uniform_soup(lake, "SELECT model_id FROM member")
    assert uniform_soup(lake, "SELECT model_id FROM member WHERE state = 'trained'").warnings == ()
    assert isinstance(lake.sql("SELECT * FROM member"), pl.DataFrame)
