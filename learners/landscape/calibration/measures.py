"""All measures of calibration of many models on the same samples, with their standard errors."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from learners.landscape.calibration.bins import BINS, binned, equal_mass, equal_width
from zoo.randomness import generator

DRAWS = 100

Measured = dict[str, tuple[Tensor, Tensor]]
"""By name the value and its standard error, `[N]`, float64."""


def measures(log_probabilities: Tensor, y: Tensor, bins: int = BINS, draws: int = DRAWS, seed: int = 0) -> Measured:
    """Measure how well calibrated models are.

    Negative log-likelihood in nats and Brier score (the sum over the classes, 0 to 2) are means over samples, with the
    error of that. The others are of bins and get their errors by drawing the samples anew.

    Args:
        log_probabilities: `[N, n, classes]`, float64.
        y: Classes, `[n]`.
        bins: Of confidences.
        draws: Bootstrap samples.
        seed: Of them.

    Source:
        Brier 1950, "Verification of forecasts expressed in terms of probability"; for the others see
        `learners.landscape.calibration.bins`; classwise: Kull et al. 2019, "Beyond temperature scaling", eq. (4).
    """
    probabilities = log_probabilities.exp()
    truth = one_hot(y, probabilities.shape[2]).to(probabilities)
    likelihood = -log_probabilities.gather(2, y.view(1, -1, 1).expand(len(probabilities), -1, 1)).squeeze(2)
    brier = ((probabilities - truth) ** 2).sum(dim=2)
    found = {"nll": _mean(likelihood), "brier": _mean(brier)}
    found |= _of_confidences(probabilities, y, bins, draws, seed)
    found["ece_classwise"] = _classwise(probabilities, truth, bins, draws, seed)
    return found


def _mean(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(dim=1), values.std(dim=1) / values.shape[1] ** 0.5


def _of_confidences(probabilities: Tensor, y: Tensor, bins: int, draws: int, seed: int) -> Measured:
    confidence, predicted = probabilities.max(dim=2)
    right = (predicted == y).to(confidence)
    by_width, by_mass = equal_width(confidence, bins), equal_mass(confidence, bins)

    def all_of(weight: Tensor | None) -> Tensor:
        width, mass = (binned(confidence, right, chosen, bins, weight) for chosen in (by_width, by_mass))
        each = (width.expected_error(), mass.expected_error(), mass.debiased_error(), mass.squared_error())
        return torch.stack(each)

    names = ("ece", "ece_equal_mass", "ece_debiased", "squared_calibration_error")
    values, errors = _bootstrapped(all_of, confidence, draws, seed)
    return {name: (value, error) for name, value, error in zip(names, values, errors, strict=True)}


def _classwise(probabilities: Tensor, truth: Tensor, bins: int, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """The mean over the classes of the calibration error of a class's probability against how often it is right."""

    def all_of(weight: Tensor | None) -> Tensor:
        classes = zip(probabilities.unbind(dim=2), truth.unbind(dim=1), strict=True)
        each = [
            binned(one, same.expand_as(one), equal_width(one, bins), bins, weight).expected_error()
            for one, same in classes
        ]
        return torch.stack(each).mean(dim=0)

    return _bootstrapped(all_of, probabilities[:, :, 0], draws, seed)


def _bootstrapped(
    statistic: Callable[[Tensor | None], Tensor], like: Tensor, draws: int, seed: int
) -> tuple[Tensor, Tensor]:
    """A statistic of weighted samples and its standard deviation over samples drawn anew; all models see the same."""
    value, source, count = statistic(None), generator("calibration", seed), like.shape[1]
    each = []
    for _ in range(draws):
        times = torch.bincount(torch.randint(count, (count,), generator=source), minlength=count).to(like)
        each.append(statistic(times.expand_as(like)))
    return value, torch.stack(each).std(dim=0) if draws > 1 else torch.full_like(value, torch.nan)
