"""Similarity and connectivity: published figures, definitions written out, one pair at a time."""

from math import log

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from learners.landscape.connectivity.bezier import bezier, train_bend
from learners.landscape.connectivity.line import line
from learners.landscape.connectivity.path import Profile, connectivity_of, profile, re_estimated
from learners.landscape.connectivity.runs import Runs
from learners.landscape.similarity.agreement import disagreement, jensen_shannon
from learners.landscape.similarity.cka import biased_cka, unbiased_cka
from learners.landscape.similarity.distance import cosine_distance, l2_distance
from zoo.architectures import skeleton
from zoo.initialise import initialise
from zoo.population import Samples, Weights, evaluate, stack


def unrelated(classes: int, batches: int = 20) -> list[Tensor]:
    return list(torch.randn(batches, 2, 128, classes, generator=torch.Generator().manual_seed(classes)))


@pytest.mark.parametrize(("classes", "published"), [(10, 0.07), (100, 0.44), (200, 0.61)])
def test_unrelated_logits_score_zero_and_not_what_the_biased_estimator_says(classes: int, published: float) -> None:
    value, error = unbiased_cka(unrelated(classes))
    assert abs(float(value[0, 1])) < 4 * float(error[0, 1])
    assert float(error[0, 1]) < 0.01
    biased, _ = biased_cka(unrelated(classes))
    assert float(biased[0, 1]) == pytest.approx(published, abs=0.01)


def test_cka_is_the_estimator_as_it_is_written_down() -> None:
    x, y = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y + x

    def hsic(a: Tensor, b: Tensor) -> Tensor:
        k, el = a @ a.T, b @ b.T
        k, el = k - torch.diag(k.diagonal()), el - torch.diag(el.diagonal())
        one, n = torch.ones(9, dtype=torch.float64), 9
        middle = (one @ k @ one) * (one @ el @ one) / ((n - 1) * (n - 2))
        return (torch.trace(k @ el) + middle - 2 / (n - 2) * (one @ k @ el @ one)) / (n * (n - 3))

    wanted = hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()
    value, _ = unbiased_cka([torch.stack([x, y])])
    torch.testing.assert_close(value[0, 1], wanted)
    torch.testing.assert_close(value.diagonal(), torch.ones(2, dtype=torch.float64))


def test_cka_does_not_mind_rotations_and_constant_features_have_none() -> None:
    x = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)).Q
    value, _ = unbiased_cka([torch.stack([one, 3 * one @ turn + 1, torch.ones_like(one)]) for one in x])
    assert float(value[0, 1]) == pytest.approx(1)
    assert value[2].isnan().all()
    with pytest.raises(ValueError, match="at least 4"):
        unbiased_cka([x[:, :3]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_cka_does_not_mind_the_scale_of_features(scale: float, dtype: torch.dtype) -> None:
    x = torch.randn(4, 2, 32, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = torch.stack([x[:, 0], x[:, 0] + x[:, 1], torch.full_like(x[:, 0], 0.1)], dim=1)
    for cka in (unbiased_cka, biased_cka):
        value, error = cka(x.to(dtype))
        small, small_error = cka((scale * x).to(dtype))
        torch.testing.assert_close(small, value, rtol=1e-5, atol=1e-6, equal_nan=True)
        torch.testing.assert_close(small_error, error, rtol=1e-4, atol=1e-6, equal_nan=True)
        assert small[2].isnan().all()  # ten times a tenth is no whole number, and rounding no variation
        assert not small[:2, :2].isnan().any()


def test_disagreement_and_divergence_by_hand() -> None:
    sure = torch.tensor([[[50.0, 0.0], [50.0, 0.0]], [[0.0, 50.0], [50.0, 0.0]]])
    share, error = disagreement(sure)
    assert share.tolist() == [[0.0, 0.5], [0.5, 0.0]]
    assert float(error[0, 1]) == pytest.approx((0.25 / 2) ** 0.5)
    divergence, _ = jensen_shannon(sure)
    assert float(divergence[0, 1]) == pytest.approx(log(2) / 2)
    assert float(divergence[0, 0]) == 0


def test_distances_by_hand() -> None:
    weights = torch.tensor([[3.0, 0.0], [0.0, 4.0], [6.0, 0.0]])
    assert l2_distance(weights)[0].tolist() == [0, 5, 3]
    assert cosine_distance(weights)[0].tolist() == [0, 1, 0]
    assert cosine_distance(torch.zeros(2, 2)).isnan().all()


def test_connectivity_is_the_largest_deviation_whichever_way() -> None:
    places = torch.linspace(0, 1, 3, dtype=torch.float64)
    error = torch.tensor([[2.0, 12.0, 4.0], [2.0, 1.0, 4.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    found = Profile(places, error.unsqueeze(2), error.unsqueeze(2))
    assert found.connectivity.tolist() == [-9, 2, 0]
    assert found.barrier.tolist() == [9, 0, 0]
    assert found.peak.tolist() == [0.5, 1, 0]


def test_connectivity_is_the_same_whichever_model_comes_first() -> None:
    """Straight from the worse end to the better one a path deviates as far to both sides, and is no barrier."""
    error = torch.tensor([[2.0, 3.0, 4.0], [2.0, 9.0, 4.0], [5.0, 1.0, 2.0]], dtype=torch.float64)
    assert connectivity_of(error).tolist() == connectivity_of(error.flip(1)).tolist() == [0, -6, 2.5]
    assert connectivity_of(torch.full((1, 3), torch.nan)).isnan().all()


CURVES = {
    "barrier": [4, 6, 9, 12, 13, 12, 9, 6, 4],
    "dip": [14, 11, 7, 4, 3, 4, 7, 11, 14],
    "both": [10, 14, 16, 13, 9, 6, 5, 8, 10],  # 6 above and 5 below
    "even": [10, 14, 15, 13, 9, 6, 5, 8, 10],
    "monotone": [16, 15, 14, 12, 10, 8, 6, 5, 4],
    "flat": [9] * 9,
}
PLACES = torch.linspace(0, 1, 9, dtype=torch.float64)


def drawn_runs(curve: str, runs: int = 4, draws: int = 400) -> Tensor:
    """Errors along trained curves that training's chance has moved, `[runs, draws, T]`; the ends are what they are."""
    source = torch.Generator().manual_seed(len(curve))
    walk = torch.randn(runs, draws, 9, generator=source, dtype=torch.float64)
    near = (walk + walk.roll(1, dims=2)) / 2**0.5
    bridge = torch.tensor([0.0, *[1.0] * 7, 0.0], dtype=torch.float64)
    return torch.tensor(CURVES[curve], dtype=torch.float64) + 1.5 * near * bridge


@pytest.mark.parametrize("curve", CURVES)
def test_the_error_of_a_connectivity_covers_what_endless_runs_give(curve: str) -> None:
    """In 400 experiments of four runs each; signs that are open included."""
    errors = drawn_runs(curve)
    runs = Runs(PLACES, errors, errors)
    truth = connectivity_of(torch.tensor([CURVES[curve]], dtype=torch.float64))
    found = runs.connectivity(200, 0)
    covered = ((found.value - truth).abs() <= 1.96 * found.error).double().mean()
    assert covered > 0.92  # 95 % less three of its deviations, with 400 experiments
    mean, spread = runs.error
    inside = ((mean - torch.tensor(CURVES[curve])).abs() <= 1.96 * spread)[:, 1:-1].double().mean()
    assert float(inside) == pytest.approx(0.95, abs=0.03)


def test_the_connectivity_of_runs_is_that_of_their_mean_curve_where_its_sign_is_plain() -> None:
    errors = drawn_runs("barrier")
    runs = Runs(PLACES, errors, errors)
    found = runs.connectivity(200, 0)
    plain = found.share == 0
    assert plain.double().mean() > 0.98
    torch.testing.assert_close(found.value[plain], connectivity_of(errors.mean(dim=0))[plain])
    torch.testing.assert_close(found.value[plain], -found.hump[plain])
    alone = Runs(PLACES, errors[:1], errors[:1])
    torch.testing.assert_close(alone.connectivity(9, 0).value, connectivity_of(errors[0]))
    for error in (alone.connectivity(9, 0).error, alone.peak(9, 0)[1], alone.error[1]):
        assert error.isnan().all()


@pytest.mark.parametrize("curve", ["both", "monotone", "flat"])
def test_a_connectivity_of_open_sign_jumps_less_than_those_of_single_curves(curve: str) -> None:
    """In 400 experiments: nearer to the truth than the mean of single curves' connectivities, of as many runs."""
    errors = drawn_runs(curve)
    truth = connectivity_of(torch.tensor([CURVES[curve]], dtype=torch.float64))
    single = torch.stack([connectivity_of(run) for run in errors]).mean(dim=0)
    found = Runs(PLACES, errors, errors).connectivity(200, 0)
    assert (found.value - truth).square().mean() < 0.9 * (single - truth).square().mean()
    assert (found.value <= found.dip).all()
    assert (found.value >= -found.hump).all()
    torch.testing.assert_close(found.value, found.share * found.dip - (1 - found.share) * found.hump)


def test_the_error_of_a_peak_is_its_spread() -> None:
    errors = drawn_runs("barrier")
    place, error = Runs(PLACES, errors, errors).peak(200, 0)
    assert ((place - 0.5).abs() <= 1.96 * error + 1e-9).double().mean() > 0.92


def test_the_error_of_a_barrier_is_its_spread_over_data_sets() -> None:
    """Two ends that err by chance, and a hump between them: of data sets drawn anew, the barriers' own deviation."""
    places, source = torch.linspace(0, 1, 5, dtype=torch.float64), torch.Generator().manual_seed(0)
    chance = torch.tensor([0.1, 0.3, 0.45, 0.3, 0.2], dtype=torch.float64)
    barriers, errors = [], []
    for seed in range(200):
        wrong = 100.0 * (torch.rand(1, 5, 300, generator=source, dtype=torch.float64) < chance.view(1, -1, 1))
        found = Profile(places, wrong, wrong)
        barriers.append(found.barrier.item())
        errors.append(found.barrier_error(60, seed).item())
        assert found.error_error[0, 2].item() == pytest.approx(float(np.std(wrong[0, 2].numpy(), ddof=1)) / 300**0.5)
    assert np.mean(errors) == pytest.approx(np.std(barriers), rel=0.15)  # 200 values know their deviation to 5 %
    assert Profile(places, wrong, wrong).barrier_error(1, 0).isnan().all()


@pytest.fixture(scope="module")
def blobs() -> Samples:
    source = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    centres = 2 * torch.randn(3, 1, 2, 2, generator=source)
    return Samples(centres[y] + torch.randn(90, 1, 2, 2, generator=source), y)


@pytest.fixture(scope="module")
def networks(blobs: Samples) -> Weights:
    """Four small networks, each trained for itself by plain PyTorch."""
    states = []
    for seed in range(4):
        module = skeleton("mlp", (1, 2, 2), 3, 8)
        module.load_state_dict(initialise(module, torch.Generator().manual_seed(seed)), assign=True)
        optimiser = torch.optim.Adam(module.requires_grad_().parameters(), lr=0.05)
        for _ in range(60):
            optimiser.zero_grad()
            cross_entropy(module(blobs.x), blobs.y).backward()  # type: ignore[no-untyped-call] # torch's
            optimiser.step()
        states.append({name: tensor.detach() for name, tensor in module.state_dict().items()})
    return stack(states)


def test_curves_find_what_lines_do_not(networks: Weights, blobs: Samples) -> None:
    module = skeleton("mlp", (1, 2, 2), 3, 8)
    first, second = ({name: tensor[part] for name, tensor in networks.items()} for part in ([0, 1, 2], [1, 2, 3]))
    bend = train_bend(module, first, second, {}, blobs, epochs=60, batch_size=45, learning_rate=0.03)
    curve, straight = (profile(module, path, {}, blobs) for path in (bezier(first, bend, second), line(first, second)))
    assert curve.error.shape == (3, 21)
    assert (curve.loss.max(dim=1).values < straight.loss.max(dim=1).values).all()
    ends = evaluate(module, first, blobs), evaluate(module, second, blobs)
    for found in (curve, straight):
        torch.testing.assert_close(found.loss[:, 0], ends[0].loss)
        torch.testing.assert_close(found.loss[:, -1], ends[1].loss)


def test_pairs_do_not_notice_each_other(networks: Weights, blobs: Samples) -> None:
    module = skeleton("mlp", (1, 2, 2), 3, 8)
    double = {name: tensor.double() for name, tensor in networks.items()}
    samples = Samples(blobs.x.double(), blobs.y)
    first, second = ({name: tensor[part] for name, tensor in double.items()} for part in ([0, 2], [1, 3]))
    alone = train_bend(
        module,
        {n: t[:1] for n, t in first.items()},
        {n: t[:1] for n, t in second.items()},
        {},
        samples,
        epochs=1,
        batch_size=90,
        seed=3,
    )
    pair = train_bend(module, first, second, {}, samples, epochs=1, batch_size=90, seed=3)
    for name in alone:
        torch.testing.assert_close(alone[name][0], pair[name][0])


def test_running_statistics_are_those_of_the_samples() -> None:
    module = skeleton("resnet18", (1, 4, 4), 3, 1)
    weights = stack([initialise(module, torch.Generator().manual_seed(seed)) for seed in range(2)])
    names = {name for name, _ in module.named_parameters()}
    buffers = {name: tensor for name, tensor in weights.items() if name not in names}
    parameters = {name: tensor for name, tensor in weights.items() if name in names}
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    fresh = re_estimated(module, parameters, buffers, Samples(x, torch.zeros(40, dtype=torch.int64)))
    convolved = torch.nn.functional.conv2d(x, parameters["conv1.weight"][1], padding=1)
    torch.testing.assert_close(fresh["bn1.running_mean"][1], convolved.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(fresh["bn1.running_var"][1], convolved.transpose(0, 1).flatten(1).var(dim=1))
    assert (buffers["bn1.running_mean"] == 0).all()
