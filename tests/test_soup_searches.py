"""Searches for ingredients, learned shares, corrupted data, confidence intervals: all of them become rows."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap  # type: ignore[import-untyped] # it says nothing of its types
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learners import compare_soups, greedy_soup, learned_soup, report
from learners.soups.bootstrap import accuracy_interval, difference_interval
from learners.soups.data.batch_norm import reestimate
from learners.soups.data.corruptions import CORRUPTIONS, corrupted
from learners.soups.data.fishers import diagonal_fisher
from learners.soups.data.grams import gram_matrices
from learners.soups.greedy import Trial, chosen, search
from learners.soups.learned import learn
from learners.soups.trials import Ledger
from schemas import Lake, UsageError, open_lake
from zoo import build, load_weights
from zoo.architectures import skeleton
from zoo.contents import content_of
from zoo.initialise import initialise
from zoo.population import Samples

TOGETHER = "SELECT model_id FROM models WHERE population = 'digits-shared'"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = open_lake(tmp_path_factory.mktemp("searches") / "lake")
    build(lake, "digits-shared")
    return lake


VALUES = {0: 0.5, 1: 0.4, 2: 0.45, 3: 0.1}


def score(members: tuple[int, ...]) -> float:
    """1 and 3 are good only together, 0 spoils everything."""
    both = {1, 3} <= set(members)
    return 0.9 - 0.2 * (0 in members) if both else max(VALUES[member] for member in members) - 0.01 * len(members)


def test_more_passes_removal_and_restarts_find_what_one_pass_misses() -> None:
    order = [0, 2, 1, 3]
    plain = search(order, score)
    assert score(tuple(chosen(plain))) == pytest.approx(0.49)
    many = search(order, score, restarts=12, removal=True, passes=3)
    best = max(score(members) for size in range(1, 5) for members in itertools.combinations(range(4), size))
    assert score(tuple(chosen(many))) == pytest.approx(best)
    assert {trial.action for trial in many} == {"add", "remove"}
    assert {trial.restart for trial in many} == set(range(13))
    assert many == search(order, score, restarts=12, removal=True, passes=3)


def test_what_changes_nothing_is_kept_only_if_asked_for() -> None:
    assert chosen(search([0, 1], lambda members: 0.5)) == [0, 1]
    assert chosen(search([0, 1], lambda members: 0.5, accept=">")) == [0]
    for options, reason in (({"accept": "<"}, "accept = '<'"), ({"passes": 0}, "passes = 0"), ({"restarts": -1}, "-1")):
        with pytest.raises(UsageError, match=reason):
            search([0], lambda members: 0.5, **options)


def test_every_trial_is_a_row_and_a_search_goes_on_where_it_was_ended(trained: Lake) -> None:
    made = greedy_soup(trained, TOGETHER)
    rows = trained.sql("SELECT * FROM trial ORDER BY number")
    assert rows.height == len(made.ingredients) + len(made.left_out)
    assert set(rows.filter(kept=True)["model_id"]) == set(made.ingredients)
    greedy_soup(trained, TOGETHER)
    assert trained.sql("SELECT * FROM trial ORDER BY number").equals(rows)
    models = trained.sql(f"{TOGETHER} ORDER BY model_id")
    contents = [content_of(load_weights(trained, model_id)) for model_id in models["model_id"]]
    data = "0" * 64

    def interrupted() -> None:
        with Ledger(trained, models, contents, data, {}) as ledger:
            ledger.note(Trial(0, 0.5, True, candidate=(0,)))
            ledger.note(Trial(1, 0.25, False, candidate=(0, 1)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    again = Ledger(trained, models, contents, data, {"other": "options"})
    assert (again.known((0,)), again.known((1, 0)), again.known((2,))) == (0.5, 0.25, None)
    assert Ledger(trained, models, contents, "1" * 64, {}).known((0,)) is None
    with Ledger(trained, models, contents, data, {}) as ledger:
        for number in range(3):
            ledger.note(Trial(number, 0.5, True, candidate=tuple(range(number + 1))))
    numbers = "SELECT number FROM trial WHERE search_id = $id ORDER BY number"
    assert trained.sql(numbers, id=ledger.search_id)["number"].to_list() == [0, 1, 2]


def test_learning_shares_is_gradient_descent_on_the_softmax() -> None:
    """The first step of Adam is the gradient's sign; the gradient is autograd's through the softmax."""
    source = torch.Generator().manual_seed(0)
    models = [
        {"w": torch.randn(4, 3, generator=source).double(), "b": torch.randn(3, generator=source).double()}
        for _ in range(5)
    ]
    x, y = torch.randn(30, 4, generator=source).double(), torch.randint(3, (30,), generator=source)

    def loss_of(weights: dict[str, Tensor]) -> Tensor:
        return cross_entropy(x @ weights["w"] + weights["b"], y)

    def gradient(weights: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
        loss = loss_of(leaves)
        return float(loss.detach()), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    logits = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    mixed = {name: sum(s * m[name] for s, m in zip(logits.softmax(0), models, strict=True)) for name in ("w", "b")}
    (slope,) = torch.autograd.grad(loss_of({name: torch.as_tensor(t) for name, t in mixed.items()}), logits)
    one = learn(models, gradient, steps=1, learning_rate=1e-3)
    expected = (-1e-3 * slope / (slope.abs() + 1e-8)).softmax(0)
    torch.testing.assert_close(one.shares[0], expected, rtol=1e-6, atol=1e-9)
    many = learn(models, gradient, steps=100)
    assert float(loss_of(many.weights).detach()) == pytest.approx(min(many.losses))
    assert min(many.losses) < many.losses[0]
    by_tensor = learn(models, gradient, by="tensor", steps=100)
    assert by_tensor.shares.shape == (2, 5)
    assert min(by_tensor.losses) <= min(many.losses) + 1e-3


def test_a_learned_soup_is_a_model_that_remembers_its_shares(trained: Lake) -> None:
    made = learned_soup(trained, TOGETHER, steps=10)
    settings = trained.sql(
        "SELECT settings->'settings'->'shares' AS s FROM product WHERE model_id = $id", id=made.model_id
    )
    assert sum(map(float, settings["s"][0].strip("[]").split(","))) == pytest.approx(1)
    assert learned_soup(trained, TOGETHER, steps=11).model_id != made.model_id


def test_intervals_are_those_of_scipys_bootstrap() -> None:
    source = torch.Generator().manual_seed(0)
    first, second = torch.rand(400, generator=source) < 0.8, torch.rand(400, generator=source) < 0.75
    ours = accuracy_interval(first, draws=20_000)
    theirs = bootstrap((first.double().numpy(),), np.mean, method="percentile", n_resamples=20_000, rng=0)
    for mine, low_or_high in zip(ours[1:], theirs.confidence_interval, strict=True):
        assert mine == pytest.approx(low_or_high, abs=0.004)  # one sample of 400, and the quantiles' own error
    gain = difference_interval(first, second, draws=20_000)
    theirs = bootstrap(
        ((first.double() - second.double()).numpy(),), np.mean, method="percentile", n_resamples=20_000, rng=0
    )
    assert gain.value == pytest.approx(float(first.double().mean() - second.double().mean()))
    assert gain.low == pytest.approx(theirs.confidence_interval.low, abs=0.005)
    same = difference_interval(first, first)
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruptions_grow_with_severity_and_stay_images(kind: str) -> None:
    coarse = torch.rand(50, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(28, 28), mode="bilinear")  # as images are
    samples = Samples(smooth, torch.zeros(50).long())
    away = [float((corrupted(samples, kind, severity).x - samples.x).abs().mean()) for severity in range(1, 6)]
    assert away == sorted(away)
    assert away[0] > 0
    changed = corrupted(samples, kind, 5)
    assert bool(((changed.x >= 0) & (changed.x <= 1)).all())
    assert torch.equal(changed.x, corrupted(samples, kind, 5).x)
    for wrong in ((kind, 6), ("fog", 1)):
        with pytest.raises(UsageError):
            corrupted(samples, *wrong)


def test_corruptions_of_one_image_are_no_samples_of_their_own() -> None:
    """Three kinds that are right together say no more than one; the plain bootstrap over images is the peer."""
    source = torch.Generator().manual_seed(0)
    right = torch.rand(400, generator=source) < 0.7
    one, alike = accuracy_interval(right), accuracy_interval(right.expand(3, -1))
    assert alike == one
    kinds = torch.stack([right, right & (torch.rand(400, generator=source) < 0.8), right.roll(1)])
    found = accuracy_interval(kinds)
    drawn = torch.randint(400, (4000, 400), generator=source)
    plain = torch.quantile(kinds.double().mean(0)[drawn].mean(1), torch.tensor([0.025, 0.975], dtype=torch.float64))
    assert found.value == pytest.approx(float(kinds.double().mean()))
    assert (found.low, found.high) == pytest.approx(tuple(plain.tolist()), abs=0.006)


def test_all_soups_are_compared_clean_and_corrupted(trained: Lake, tmp_path: Path) -> None:
    frame = compare_soups(trained, TOGETHER, corruptions=["noise", "contrast"])
    kinds = {"best single", "uniform", "greedy", "learned", "aligned", "aligned and repaired", "ensemble"}
    assert set(frame["candidate"]) == kinds
    assert set(frame["condition"]) == {"clean", "noise", "contrast", "corrupted"}
    assert (frame["low"] <= frame["accuracy"]).all()
    assert (frame["accuracy"] <= frame["high"]).all()
    best = frame.filter(candidate="best single")
    assert best["gain"].to_list() == [0.0] * 4
    made = greedy_soup(trained, TOGETHER)
    own = made.comparison.filter(candidate="soup", split="test")["accuracy"][0]
    assert frame.filter(candidate="greedy", condition="clean")["accuracy"][0] == pytest.approx(own)
    compare_soups(trained, TOGETHER, corruptions=["noise", "contrast"])
    kept = trained.sql("FROM soup_comparison")
    assert kept.height == frame.height
    assert kept["comparison_id"].n_unique() == 1
    assert kept.filter(candidate="greedy")["model_id"].unique().to_list() == [made.model_id]
    assert "Kinds of soups compared" in report(trained, tmp_path / "report.html").read_text(encoding="utf-8")


def network(
    architecture: str, shape: tuple[int, ...], width: int
) -> tuple[torch.nn.Module, dict[str, Tensor], Samples]:
    module = skeleton(architecture, shape, 4, width).double()
    source = torch.Generator().manual_seed(0)
    weights = {name: t.double() if t.is_floating_point() else t for name, t in initialise(module, source).items()}
    x = torch.randn(20, *shape, generator=source).double()
    return module, weights, Samples(x, torch.randint(4, (20,), generator=source))


def test_fisher_information_is_the_mean_of_squared_gradients_one_sample_and_class_after_the_other() -> None:
    module, weights, samples = network("mlp", (1, 2, 2), 3)
    wanted = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    for x in samples.x:
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        log = functional_call(module, leaves, (x[None],))[0].log_softmax(0)
        for label in range(4):
            slopes = torch.autograd.grad(log[label], list(leaves.values()), retain_graph=True)
            for name, slope in zip(leaves, slopes, strict=True):
                wanted[name] += log[label].exp().detach() * slope**2 / len(samples)
    for name, tensor in diagonal_fisher(module, weights, samples).items():
        torch.testing.assert_close(tensor.double(), wanted[name], rtol=1e-5, atol=1e-9)


def test_gram_matrices_give_what_layers_give() -> None:
    """The squared length of a layer's outputs without bias is tr(W G W^T)."""
    module, weights, samples = network("cnn", (1, 8, 8), 4)
    grams = gram_matrices(module, weights, samples)
    first = torch.nn.functional.conv2d(samples.x, weights["conv1.weight"], padding=1)
    rows = weights["conv1.weight"].reshape(4, -1)
    total = float(torch.trace(rows @ grams["conv1.weight"] @ rows.T)) * len(samples)
    assert total == pytest.approx(float(first.square().sum()))
    assert grams.keys() == {name for name in weights if name.endswith("weight")}


def test_batch_norm_is_estimated_from_the_data() -> None:
    module, weights, samples = network("resnet18", (3, 8, 8), 4)
    anew = reestimate(module, weights, samples, batch=20)
    maps = torch.nn.functional.conv2d(samples.x, weights["conv1.weight"], padding=1)
    torch.testing.assert_close(anew["bn1.running_mean"], maps.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(anew["bn1.running_var"], maps.var(dim=(0, 2, 3)))
    assert torch.equal(anew["conv1.weight"], weights["conv1.weight"])
