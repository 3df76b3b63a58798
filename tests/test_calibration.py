"""Calibration errors against published examples, scikit-learn, loops, and cases whose answer is known."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped] # scipy ships no types
from sklearn.calibration import calibration_curve  # type: ignore[import-untyped] # nor does scikit-learn
from sklearn.metrics import log_loss  # type: ignore[import-untyped] # as above
from torch import Tensor

from learners.landscape.calibration.bins import binned, equal_mass, equal_width
from learners.landscape.calibration.measures import measures
from learners.landscape.calibration.temperature import fitted_temperature, temperature_error, without_optimum


def logits_of(models: int = 3, samples: int = 400, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits that are sure of themselves by different factors, and classes drawn from them."""
    source = torch.Generator().manual_seed(3)
    base = torch.randn(samples, classes, generator=source, dtype=torch.float64) * 2
    y = torch.multinomial(base.softmax(dim=1), 1, generator=source).flatten()
    factors = torch.tensor([0.4, 1.0, 3.0], dtype=torch.float64)[:models]
    return base * factors.view(-1, 1, 1), y


def test_the_example_of_a_published_implementation() -> None:
    # The documentation of torchmetrics' MulticlassCalibrationError, whose answer there is 0.2.
    probabilities = torch.tensor([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])
    confidence, predicted = probabilities.double().max(dim=1)
    right = (predicted == torch.tensor([0, 1, 2, 0])).double()
    found = binned(confidence[None], right[None], equal_width(confidence[None], 3), 3)
    assert found.expected_error().item() == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_are_those_of_scikit_learn(strategy: str) -> None:
    logits, y = logits_of()
    confidence, predicted = logits.softmax(dim=2).max(dim=2)
    right = (predicted == y).double()
    chosen = (equal_width if strategy == "uniform" else equal_mass)(confidence, 10)
    found = binned(confidence, right, chosen, 10)
    for model in range(3):
        both = right[model].numpy(), confidence[model].numpy()
        accuracy, mean = calibration_curve(*both, n_bins=10, strategy=strategy)
        filled = found.count[model] > 0
        np.testing.assert_allclose(found.accuracy[model][filled].numpy(), accuracy, rtol=1e-12)
        np.testing.assert_allclose(found.confidence[model][filled].numpy(), mean, rtol=1e-12)


def test_equal_confidences_share_a_bin_whatever_the_order_of_samples() -> None:
    source = torch.Generator().manual_seed(0)
    confidence = (torch.rand(1, 200, generator=source, dtype=torch.float64) * 8).round() / 8
    confidence[0, :70] = 1.0
    right = (torch.rand(1, 200, generator=source) < 0.7).double()
    chosen = equal_mass(confidence, 10)
    for value in set(confidence.flatten().tolist()):
        assert len(set(chosen[confidence == value].tolist())) == 1
    errors = []
    for seed in range(5):
        order = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
        shuffled, hits = confidence[:, order], right[:, order]
        errors.append(binned(shuffled, hits, equal_mass(shuffled, 10), 10).expected_error().item())
    assert errors == pytest.approx([errors[0]] * 5, abs=1e-12)
    certain = torch.ones(1, 50, dtype=torch.float64)  # all in one bin: the error is that of the mean
    hits = (torch.arange(50).view(1, -1) % 5 > 0).double()
    assert binned(certain, hits, equal_mass(certain, 10), 10).expected_error().item() == pytest.approx(0.2)


def test_likelihood_and_scores_are_those_of_loops_and_scikit_learn() -> None:
    logits, y = logits_of()
    found = measures(logits.log_softmax(dim=2), y, bins=10, draws=2)
    for model, scores in enumerate(logits.softmax(dim=2).numpy()):
        assert found["nll"][0][model].item() == pytest.approx(log_loss(y.numpy(), scores), rel=1e-12)
        brier = np.mean(
            [sum((p - (c == k)) ** 2 for k, p in enumerate(row)) for row, c in zip(scores, y.tolist(), strict=True)]
        )
        assert found["brier"][0][model].item() == pytest.approx(brier, rel=1e-12)
        classwise = np.mean([_binary_error(scores[:, k], y.numpy() == k, 10) for k in range(scores.shape[1])])
        assert found["ece_classwise"][0][model].item() == pytest.approx(classwise, rel=1e-10)


def _binary_error(probability: np.ndarray, positive: np.ndarray, bins: int) -> float:
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (probability > low) & (probability <= low + 1 / bins + 1e-15)
        if inside.any():
            total += inside.mean() * abs(probability[inside].mean() - positive[inside].mean())
    return total


def test_chance_adds_to_the_plain_error_less_to_the_mended_and_nothing_to_the_squared_one() -> None:
    source, plain, mended, squared = torch.Generator().manual_seed(0), [], [], []
    for _ in range(300):
        confidence = torch.rand(1, 150, generator=source, dtype=torch.float64) / 2 + 0.5
        right = (torch.rand(1, 150, generator=source, dtype=torch.float64) < confidence).double()
        found = binned(confidence, right, equal_mass(confidence, 15), 15)
        plain.append(found.expected_error().item())
        mended.append(found.debiased_error().item())
        squared.append(found.squared_error().item())
    assert np.mean(plain) > 0.08
    assert np.mean(mended) / np.mean(plain) == pytest.approx(2 - 2**0.5, abs=0.1)
    # Grouping unequal confidences into a bin changes nothing: the squared error has no bias at all.
    assert abs(np.mean(squared)) < 3 * np.std(squared) / len(squared) ** 0.5 + 1e-3


def test_debiasing_is_the_mean_that_drawn_accuracies_give() -> None:
    logits, y = logits_of()
    confidence, predicted = logits.softmax(dim=2).max(dim=2)
    found = binned(confidence, (predicted == y).double(), equal_mass(confidence, 8), 8)
    deviation = (found.accuracy * (1 - found.accuracy) / found.count).sqrt()
    noise = torch.randn(20_000, *deviation.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = (found.share * (found.gap + noise * deviation).abs()).sum(dim=2).mean(dim=0)
    wanted = 2 * found.expected_error() - drawn
    torch.testing.assert_close(found.debiased_error(), wanted, atol=1e-3, rtol=0)


def test_errors_are_the_spread_over_data_sets_of_that_size() -> None:
    source, values, errors = torch.Generator().manual_seed(5), [], []
    for _ in range(60):
        logits = torch.randn(1, 200, 3, generator=source, dtype=torch.float64) * 2
        y = torch.multinomial(logits[0].softmax(dim=1), 1, generator=source).flatten()
        found = measures((3 * logits).log_softmax(dim=2), y, bins=5, draws=40)
        values.append([found[name][0].item() for name in ("nll", "ece", "brier")])
        errors.append([found[name][1].item() for name in ("nll", "ece", "brier")])
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(values, axis=0), rtol=0.35)


def test_the_temperature_is_the_likeliest_one_and_undoes_a_factor() -> None:
    logits, y = logits_of()
    found = fitted_temperature(logits, y)
    for model in range(3):

        def likelihood(inverse: float, model: int = model) -> float:
            return float(torch.nn.functional.cross_entropy(logits[model] * inverse, y))

        best = minimize_scalar(likelihood, bounds=(1e-3, 50), method="bounded", options={"xatol": 1e-10})
        assert 1 / found[model].item() == pytest.approx(best.x, rel=1e-5)
    assert (found / torch.tensor([0.4, 1.0, 3.0], dtype=torch.float64)).std() < 1e-9
    scaled = logits / found.view(-1, 1, 1)
    torch.testing.assert_close(scaled[0], scaled[2])


def test_models_that_are_always_right_want_the_coldest_and_mute_ones_any() -> None:
    y = torch.arange(30) % 3
    right = torch.nn.functional.one_hot(y, 3).double()
    found = fitted_temperature(torch.stack([right, -right, torch.zeros_like(right)]), y)
    assert found[0].item() == pytest.approx(1e-3)
    assert found[1].item() == pytest.approx(1e3)
    assert found[2].item() == pytest.approx(1e-3)


def test_a_temperature_without_an_optimum_is_told_from_one_that_has_it() -> None:
    logits, y = logits_of()
    assert not without_optimum(fitted_temperature(logits, y)).any()
    right = 3 * torch.nn.functional.one_hot(y, 4).double()[None]
    temperatures = fitted_temperature(torch.cat([right, -right, 0 * right]), y)
    assert without_optimum(temperatures).tolist() == [True] * 3
    assert temperatures[0] < 1 < temperatures[1]


def test_the_error_of_a_temperature_is_its_spread_over_data_sets() -> None:
    """Of 300 drawings with replacement, the temperatures' own deviation."""
    logits, y = logits_of()
    source = torch.Generator().manual_seed(0)
    drawn = [torch.randint(len(y), (len(y),), generator=source) for _ in range(300)]
    fitted = torch.stack([fitted_temperature(logits[:, chosen], y[chosen]) for chosen in drawn])
    error = temperature_error(logits, y, fitted_temperature(logits, y))
    torch.testing.assert_close(error, fitted.std(dim=0), rtol=0.15, atol=0.0)  # 300 values know theirs to 4 %
