"""Temperature scaling of many models: the one number each by which logits are divided to be likeliest."""

from math import log

import torch
from torch import Tensor

STEPS = 60
HOTTEST = 1000.0
NEAR = 1.001
"""A temperature within this factor of the hottest or the coldest one is where the search ended."""


def fitted_temperature(logits: Tensor, y: Tensor) -> Tensor:
    """The temperature of the least negative log-likelihood, `[N]`, float64, from 1/1000 to 1000.

    The likelihood is convex in the inverse temperature, whose derivative is searched for its zero by halving intervals
    of its logarithm. Where all samples are right the coldest is best; it is also given where outputs say nothing.

    Args:
        logits: `[N, n, classes]`, on samples that were not trained on.
        y: Classes, `[n]`.

    Source:
        Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    logits = logits.double()
    given = logits.gather(2, y.view(1, -1, 1).expand(len(logits), -1, 1)).squeeze(2)
    limit = torch.full_like(logits[:, 0, 0], HOTTEST).log()
    low, high = -limit, limit
    for _ in range(STEPS):
        middle = (low + high) / 2
        probabilities = (logits * middle.exp().view(-1, 1, 1)).softmax(dim=2)
        slope = ((probabilities * logits).sum(dim=2) - given).mean(dim=1)  # of the NLL by the inverse temperature
        low, high = torch.where(slope <= 0, middle, low), torch.where(slope <= 0, high, middle)
    return (-(low + high) / 2).exp()


def without_optimum(temperature: Tensor) -> Tensor:
    """Which fitted temperatures `[N]` are at the end of the search, because no temperature is the best one, bool."""
    edge: Tensor = temperature.log().abs() >= log(HOTTEST / NEAR)
    return edge


def temperature_error(logits: Tensor, y: Tensor, temperature: Tensor) -> Tensor:
    """Standard error of a fitted temperature over the samples it was fitted on, `[N]`, float64.

    That of a root of a mean score, by the spread of the score and its slope (the "sandwich").

    Args:
        logits: `[N, n, classes]`, as for `fitted_temperature`.
        y: Classes, `[n]`.
        temperature: What was fitted, `[N]`.

    Source:
        Huber 1967, "The behavior of maximum likelihood estimates under nonstandard conditions".
    """
    logits = logits.double()
    given = logits.gather(2, y.view(1, -1, 1).expand(len(logits), -1, 1)).squeeze(2)
    probabilities = (logits / temperature.view(-1, 1, 1)).softmax(dim=2)
    mean = (probabilities * logits).sum(dim=2)
    slope = (probabilities * (logits - mean.unsqueeze(2)) ** 2).sum(dim=2).mean(dim=1)
    error: Tensor = (mean - given).std(dim=1) / len(y) ** 0.5 / slope * temperature**2
    return error
