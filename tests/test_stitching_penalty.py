"""Penalties: many pairs at once against one stitched network after the other, zeros, intervals, trained joints."""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import pytest
import torch
from torch import Tensor, nn

from learners.stitching.cuts import trace
from learners.stitching.form import Form
from learners.stitching.joint_training import JointTraining, train_joints
from learners.stitching.joints import Joints, fit_joints, scatter_bytes
from learners.stitching.network import Network
from learners.stitching.penalty import Penalty, interval, penalties, standard_error
from learners.stitching.sites import nearest_cut, sites
from learners.stitching.stitched import Stitched, join
from schemas import DataError, UsageError
from tests.stitchable_networks import SHAPES, network, permuted, samples
from zoo.population import Samples


def labelled(architecture: str, count: int, seed: int) -> Samples:
    x = samples(architecture, count, seed)
    shape, classes, _ = SHAPES[architecture]
    places = (count, *shape) if architecture == "gpt2" else (count,)
    return Samples(x, torch.randint(classes, places, generator=torch.Generator().manual_seed(seed)))


def fitted(modules: Sequence[nn.Module], x: Tensor, ridge: float = 0.0) -> Joints:
    """Joints between all of these networks at all cuts."""
    networks = [Network(trace(module), name=f"network {number}") for number, module in enumerate(modules)]
    forms = [each.forms(x[:2]) for each in networks]
    everybody = range(len(networks))
    places, _ = sites(networks, forms, everybody, everybody, {i: range(len(forms[i])) for i in everybody})
    return fit_joints(networks, forms, places, torch.split(x, 50), ridge)


def alone(front: nn.Module, end: nn.Module, cuts: tuple[int, int], x: Tensor, ridge: float = 0.0) -> Stitched:
    return join(trace(front), cuts[0], trace(end), cuts[1], torch.split(x, 32), ridge=ridge)


def check(found: Penalty, joined: nn.Module, end: nn.Module, held_out: Samples) -> None:
    """Compare with the plain definition, sample by sample."""
    with torch.no_grad():
        both = [module(held_out.x) for module in (joined, end)]
    errors = [(logits.argmax(-1) != held_out.y).double().flatten(1 if held_out.y.ndim > 1 else 0) for logits in both]
    errors = [each.mean(1) if held_out.y.ndim > 1 else each for each in errors]
    loss = [nn.functional.cross_entropy(logits.flatten(0, -2), held_out.y.flatten()) for logits in both]
    assert found.error == pytest.approx(float(errors[0].mean()))
    assert found.own_error == pytest.approx(float(errors[1].mean()))
    assert found.penalty == pytest.approx(float((errors[0] - errors[1]).mean()))
    assert found.loss_penalty == pytest.approx(float(loss[0] - loss[1]), abs=1e-7)


@pytest.mark.parametrize("architecture", SHAPES)
def test_many_pairs_at_once_equal_one_stitched_network_after_the_other(architecture: str) -> None:
    modules = [network(architecture, seed) for seed in range(3)]
    x, held_out = samples(architecture, 120), labelled(architecture, 30, 7)
    joints = fitted(modules, x)
    found = {(each.front, each.end, each.end_cut): each for each in penalties(joints, held_out, at_once=8)}
    cuts = len(joints.forms[0])
    assert len(found) == 9 * cuts
    for front, end, cut in [(0, 1, 0), (2, 1, cuts - 1), (1, 0, cuts // 2)]:
        each = found[front, end, cut]
        assert each.front_cut == cut
        check(each, alone(modules[front], modules[end], (cut, cut), x), modules[end], held_out)


@pytest.mark.parametrize("architecture", SHAPES)
def test_self_stitches_and_permuted_copies_cost_nothing(architecture: str) -> None:
    module = network(architecture)
    joints = fitted([module, permuted(architecture, module)], samples(architecture, 120))
    held_out = labelled(architecture, 50, 7)
    for each in penalties(joints, held_out, at_once=50):
        assert each.penalty == 0
        assert each.loss_penalty == pytest.approx(0, abs=1e-8)
        assert each.interval[0] < 0 < each.interval[1]


def test_other_widths_depths_and_architectures_meet_where_they_are_as_deep() -> None:
    modules = [network("vit"), network("vit", 1, width=9, depth=4), network("resnet18"), network("mlp", 3, depth=3)]
    x, held_out = samples("vit", 100), labelled("vit", 20, 7)
    joints = fitted(modules, x, ridge=1e-3)
    found = {(each.front, each.end, each.end_cut): each for each in penalties(joints, held_out, at_once=20)}
    assert found[0, 1, 3].front_cut == nearest_cut(3, 4, 2) == 2
    for front, end, cut in [(0, 1, 3), (1, 0, 1), (0, 2, 5), (2, 3, 1), (3, 3, 2)]:
        each = found[front, end, cut]
        joined = alone(modules[front], modules[end], (each.front_cut, cut), x, ridge=1e-3)
        check(each, joined, modules[end], held_out)
    assert (3, 0, 1) not in found, "features have no places"


def test_what_is_impossible_is_named() -> None:
    networks = [Network(trace(network("mlp"))), Network(trace(network("resnet18")))]
    forms = [each.forms(samples("mlp", 2)) for each in networks]
    places, impossible = sites(networks, forms, [0, 1], [0, 1], {0: [0], 1: [3]})
    assert [(each.front, each.end, each.cut) for each in impossible] == [(0, 1, 3)]
    assert "6 features say nothing of places" in impossible[0].reason
    assert {(front, end) for site in places for front, _ in site.fronts for end in site.ends} == {
        (0, 0),
        (1, 0),
        (1, 1),
    }


def test_the_sums_do_not_grow_with_the_samples() -> None:
    joints = fitted([network("mlp"), network("mlp", 1)], samples("mlp", 20))
    assert scatter_bytes(joints.sites, joints.forms) == 2 * 8 * 12**2  # two cuts of two networks of six units


def test_values_that_are_not_finite_are_refused() -> None:
    broken = network("mlp")
    broken.get_parameter("linear1.weight").fill_(torch.inf)
    with pytest.raises(DataError, match="network 1 has values at cut 0 that are not finite"):
        fitted([network("mlp"), broken], samples("mlp", 20))


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    """Bonett and Price's interval, over the range from hardly any difference to many."""
    source = torch.Generator().manual_seed(0)
    for worse, better in [(0.002, 0.001), (0.05, 0.02), (0.3, 0.1)]:
        counts = torch.multinomial(
            torch.tensor([worse, better, 1 - worse - better]), 500 * 2000, True, generator=source
        )
        draws = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)[counts].reshape(2000, 500)
        errors = standard_error(draws.sum(1), draws.square().sum(1), 500)
        bounds = [interval(float(mean), float(error), 500) for mean, error in zip(draws.mean(1), errors, strict=True)]
        covered = sum(low <= worse - better <= high for low, high in bounds) / 2000
        assert 0.935 < covered <= 1  # 95 % with a standard deviation of 0.5 % over 2,000 repetitions; more where rare


def bright(count: int, seed: int) -> Samples:
    """Something that can be learnt: the class is the direction that a sample points to most."""
    x = samples("mlp", count, seed)
    return Samples(x, x.flatten(1)[:, :10].argmax(dim=1))


def test_trained_joints_lower_the_loss_and_leave_the_networks_alone() -> None:
    modules = [network("mlp", seed) for seed in range(3)]
    before = [{name: tensor.clone() for name, tensor in module.state_dict().items()} for module in modules]
    joints = fitted(modules, samples("mlp", 120), ridge=1.0)
    train, held_out = bright(2000, 3), bright(500, 4)
    trained = train_joints(joints, train, JointTraining(epochs=5, learning_rate=0.01))
    old, new = ({(e.front, e.end, e.end_cut): e for e in penalties(each, held_out, 500)} for each in (joints, trained))
    assert sum(new[key].loss_penalty < old[key].loss_penalty for key in old) > 0.9 * len(old)
    for module, state in zip(modules, before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def test_a_joint_is_trained_as_if_it_were_trained_alone() -> None:
    modules = [network("mlp", seed) for seed in range(3)]
    train, settings = bright(200, 3), JointTraining(epochs=2, batch_size=50, learning_rate=0.01)
    joints = fitted(modules, samples("mlp", 120))
    together = train_joints(joints, train, settings)
    joined = alone(modules[0], modules[2], (1, 1), samples("mlp", 120))
    optimiser = torch.optim.Adam(joined.joint.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=8)
    joined.joint.double()
    from zoo.train import data_order

    for epoch in (1, 2):
        for chosen in torch.split(data_order(0, epoch, 200), 50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(joined(train.x[chosen]), train.y[chosen]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    number = next(n for n, site in enumerate(together.sites) if site.cut == 1)
    (alike,) = together.table[number, 2]
    torch.testing.assert_close(alike.weight[0], joined.joint.weight.detach(), rtol=0, atol=1e-8)
    assert alike.source == Form("features", 6)


def test_no_prediction_from_logits_that_are_not_finite_is_right() -> None:
    front, end = network("mlp", 0), network("mlp", 1)
    joints = fitted([front, end], samples("mlp", 100))
    spoilt = replace(
        joints,
        table={
            key: [replace(each, bias=torch.full_like(each.bias, torch.inf)) for each in several]
            for key, several in joints.table.items()
        },
    )
    held_out = Samples(samples("mlp", 30, 7), torch.zeros(30, dtype=torch.int64))
    for found in penalties(spoilt, held_out, at_once=8):
        assert found.error == 1.0
        assert isnan(found.loss_penalty)
        assert isnan(found.loss_standard_error)


def test_joints_whose_training_diverges_are_refused() -> None:
    joints = fitted([network("mlp", 0), network("mlp", 1)], samples("mlp", 100))
    reason = r"joint from network \d to network \d diverged: .* lower learning_rate = 1e\+308"
    with pytest.raises(UsageError, match=reason):
        train_joints(joints, labelled("mlp", 50, 3), JointTraining(epochs=3, batch_size=10, learning_rate=1e308))
