"""The joint: least squares against numpy and scikit-learn, identities, permuted copies, other widths and forms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge  # type: ignore[import-untyped]
from torch import Tensor

from learners.stitching.cuts import trace
from learners.stitching.form import Form, form_of, lay_out
from learners.stitching.joint import Joint
from learners.stitching.least_squares import Regressors, tolerance_of
from learners.stitching.moments import Moments
from learners.stitching.stitched import join
from schemas import UsageError
from tests.stitchable_networks import SHAPES, network, permuted, samples


def drawn(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(x: Tensor, y: Tensor, ridge: float = 0.0, batch: int = 64) -> tuple[Tensor, Tensor, int]:
    moments, width = Moments(x.shape[1] + y.shape[1]), x.shape[1]
    for rows in torch.split(torch.cat([x, y], dim=1), batch):
        moments.add(rows)
    regressors = Regressors(
        moments.mean[:width], moments.scatter[:width, :width], moments.count, ridge, tolerance_of(x.dtype)
    )
    weight, bias = regressors.onto(moments.mean[width:], moments.scatter[:width, width:])
    return weight, bias, int(regressors.rank)


def test_least_squares_equals_numpys_lstsq_in_float64() -> None:
    x, y = drawn(500, 9) * torch.logspace(-1, 1, 9) + 3, drawn(500, 4, 1) + 7
    weight, bias, rank = solved(x, y)
    augmented = np.hstack([x.numpy(), np.ones((500, 1))])
    wanted = np.linalg.lstsq(augmented, y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(weight.numpy(), wanted[:-1].T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(bias.numpy(), wanted[-1], rtol=0, atol=1e-12)
    assert rank == 9


def test_dead_and_doubled_units_get_the_smallest_weights_that_solve_it() -> None:
    free = drawn(300, 5)
    x = torch.cat([free, torch.zeros(300, 1), free[:, :2], torch.full((300, 1), 3.0)], dim=1).double()
    y = drawn(300, 3, 1)
    weight, bias, rank = solved(x, y)
    peer = LinearRegression().fit(x.numpy(), y.numpy())
    assert rank == peer.rank_ == 5
    np.testing.assert_allclose(weight.numpy(), peer.coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(bias.numpy(), peer.intercept_, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
def test_ridge_equals_scikit_learns(ridge: float) -> None:
    x, y = drawn(200, 6) + 2, drawn(200, 2, 1)
    weight, bias, _ = solved(x, y, ridge)
    peer = Ridge(alpha=ridge * 200, solver="svd").fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(weight.numpy(), peer.coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(bias.numpy(), peer.intercept_, rtol=0, atol=1e-12)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**31))
def test_how_samples_are_batched_changes_nothing(sizes: list[int], seed: int) -> None:
    rows = drawn(sum(sizes), 3, seed) + 100
    moments = Moments(3)
    for batch in torch.split(rows, sizes):
        moments.add(batch)
    centred = rows - rows.mean(dim=0)
    torch.testing.assert_close(moments.mean, rows.mean(dim=0), rtol=1e-13, atol=0)
    torch.testing.assert_close(moments.scatter, centred.T @ centred, rtol=0, atol=1e-10)
    assert moments.count == len(rows)


@pytest.mark.parametrize("architecture", SHAPES)
def test_a_network_stitched_to_itself_is_the_network(architecture: str) -> None:
    module = network(architecture)
    chain, unseen = trace(module), samples(architecture, 40, seed=9)
    for cut in range(len(chain.names)):
        itself = join(chain, cut, chain, cut, torch.split(samples(architecture, 120), 50))
        torch.testing.assert_close(itself(unseen), module(unseen), rtol=0, atol=1e-8)
        assert sum(parameter.numel() for parameter in itself.joint.parameters()) > 0


@pytest.mark.parametrize("architecture", SHAPES)
def test_the_joint_undoes_the_permutation_of_a_permuted_copy(architecture: str) -> None:
    module = network(architecture)
    copy = permuted(architecture, module)
    front, end = trace(copy), trace(module)
    unseen = samples(architecture, 40, seed=9)
    torch.testing.assert_close(copy(unseen), module(unseen), rtol=0, atol=1e-10)
    fitted = samples(architecture, 120)
    for cut in range(len(front.names)):
        assert not torch.allclose(front.run(unseen, stop=cut), end.run(unseen, stop=cut)), "nothing was permuted"
        both = join(front, cut, end, cut, torch.split(fitted, 50))
        torch.testing.assert_close(both(unseen), module(unseen), rtol=0, atol=1e-8)
        penalty = (both(unseen).argmax(-1) != module(unseen).argmax(-1)).double().mean()
        assert penalty == 0


@pytest.mark.parametrize("architecture", SHAPES)
def test_networks_of_other_widths_and_depths_are_joined_by_what_comes_nearest(architecture: str) -> None:
    deeper = None if architecture in ("cnn", "resnet18") else 3
    wide, narrow = network(architecture, width=SHAPES[architecture][2] + 2), network(architecture, 5, depth=deeper)
    front, end = trace(narrow), trace(wide)
    x = samples(architecture, 300)
    joined = join(front, 0, end, 1 if architecture == "mlp" else 0, torch.split(x, 50))
    there = end.run(x, stop=1 if architecture == "mlp" else 0)
    source, target = form_of(front.run(x, stop=0)), form_of(there)
    assert joined.joint.weight.shape == (target.channels, source.channels)
    inputs = lay_out(front.run(x, stop=0), source, target).flatten(0, 1).numpy()
    outputs = lay_out(there, target, target).flatten(0, 1).numpy()
    peer = LinearRegression().fit(inputs, outputs)
    residual = float(np.square(peer.predict(inputs) - outputs).sum())
    found = joined.joint(front.run(x, stop=0)).detach()
    assert float((found - there).square().sum()) == pytest.approx(residual, rel=1e-9)
    assert joined(x).shape == wide(x).shape


def test_tokens_and_maps_are_laid_out_as_each_other() -> None:
    maps = torch.arange(24.0).reshape(1, 3, 2, 4)
    tokens = torch.arange(24.0).reshape(1, 8, 3)
    with_class = torch.cat([torch.full((1, 1, 3), -1.0), tokens], dim=1)
    assert lay_out(maps, form_of(maps), form_of(tokens))[0, 5].tolist() == [5, 13, 21]  # row 1, column 1
    assert torch.equal(lay_out(tokens, form_of(tokens), form_of(maps)), tokens)
    assert torch.equal(lay_out(with_class, form_of(with_class), form_of(maps)), tokens)
    to_class = lay_out(maps, form_of(maps), form_of(with_class))
    assert to_class[0, 0].tolist() == maps.mean(dim=(2, 3))[0].tolist()
    assert torch.equal(to_class[:, 1:], lay_out(maps, form_of(maps), form_of(tokens)))


def test_maps_change_their_sides_by_whole_factors() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    smaller, larger, mixed = Form("maps", 1, (2, 2)), Form("maps", 1, (8, 4)), Form("maps", 1, (2, 8))
    assert lay_out(maps, form_of(maps), smaller).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert lay_out(maps, form_of(maps), larger).flatten()[:8].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert lay_out(maps, form_of(maps), mixed).flatten()[:8].tolist() == [2, 2, 3, 3, 4, 4, 5, 5]


def test_a_transformer_is_stitched_to_a_residual_network_and_back() -> None:
    vit, resnet = network("vit"), network("resnet18")
    x = samples("vit", 200)
    to_maps = join(trace(vit), 2, trace(resnet), "layer3.0", torch.split(x, 50))
    assert to_maps(x).shape == (200, 10)
    to_tokens = join(trace(resnet), "layer3.0", trace(vit), 2, torch.split(x, 50))
    assert to_tokens(x).shape == (200, 10)
    flattened = join(trace(resnet), "layer3.0", trace(network("mlp")), 0, torch.split(x, 50))
    assert flattened.joint.weight.shape == (6, 12 * 2 * 2)
    assert flattened(x).shape == (200, 10)


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (Form("features", 5), Form("maps", 3, (2, 2)), "5 features say nothing of places, and 3 maps of 2 x 2 have 4"),
        (
            Form("tokens", 5, (4,)),
            Form("tokens", 5, (9,)),
            "4 tokens .* and 9 tokens .* stand at",
        ),
        (Form("tokens", 5, (7,)), Form("maps", 5, (2, 2)), "7 tokens of 5 channels are no places of 5 maps of 2 x 2"),
        (
            Form("maps", 16, (28, 28)),
            Form("features", 16),
            r"16 maps of 28 x 28 to 16 features has 12544 inputs, and fitting it takes 1.3 GB .* at most 8192",
        ),
        (Form("maps", 5, (5, 5)), Form("maps", 5, (3, 3)), "neither of .* divides the other's sides"),
    ],
)
def test_impossible_joints_are_refused_with_the_reason(source: Form, target: Form, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Joint(source, target)


def test_what_is_no_features_tokens_or_maps_is_refused() -> None:
    with pytest.raises(UsageError, match=r"torch.int64 values of shape \[3\] are none"):
        form_of(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(UsageError, match=r"shape \[3, 3, 3, 3\]"):
        form_of(torch.zeros(2, 3, 3, 3, 3))


def test_the_update_has_its_rank_and_starts_at_nothing() -> None:
    form = Form("features", 6)
    joint = Joint(form, form, rank=2)
    joint.draw(torch.Generator().manual_seed(0))
    x = drawn(50, 6).float()
    before = joint(x)
    torch.testing.assert_close(before, x @ joint.weight.T + joint.bias)
    joint.free(torch.Generator().manual_seed(1))
    assert torch.equal(joint(x), before)
    assert not joint.weight.requires_grad
    optimiser = torch.optim.SGD([p for p in joint.parameters() if p.requires_grad], lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        (joint(x) - x.flip(1)).square().mean().backward()
        optimiser.step()
    moved = joint(torch.eye(6)) - joint.bias - joint.weight.T
    assert int(torch.linalg.matrix_rank(moved)) == 2
    assert (joint(x) - x.flip(1)).square().mean() < (before - x.flip(1)).square().mean()
    found = joint(x)
    joint.fold()
    torch.testing.assert_close(joint(x), found)
    assert {name for name, _ in joint.named_parameters()} == {"weight", "bias"}
