"""Confidence intervals by the bootstrap over test samples, of accuracies and of differences between candidates."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.randomness import key

DRAWS = 2000


class Interval(NamedTuple):
    """A value with the 2.5 % and 97.5 % quantiles of its bootstrap distribution."""

    value: float
    low: float
    high: float


def accuracy_interval(correct: Tensor, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Accuracy of predictions `[n]` or `[kinds, n]` (true where right) with its 95 % interval.

    Args:
        correct: Which predictions are right.
        draws: Times that n samples are drawn with replacement, each with its predictions of every kind.
        seed: What is drawn hangs on it.
    """
    return difference_interval(correct, torch.zeros_like(correct), draws, seed)


def difference_interval(first: Tensor, second: Tensor, draws: int = DRAWS, seed: int = 0) -> Interval:
    """By how much one candidate is right more often than another on the same samples, with its 95 % interval.

    Samples are drawn, not predictions: what both get right or wrong cancels out, and corruptions of one image, which
    are right or wrong together, count as one. Each draw gives a multinomial count of the samples with each difference.
    """
    ahead = (first.int() - second.int()).reshape(-1, first.shape[-1])
    kinds, samples = ahead.shape
    differences, found = np.unique(ahead.sum(dim=0).numpy(), return_counts=True)
    source = np.random.default_rng(key("bootstrap", seed, samples))
    counts = source.multinomial(samples, found / samples, size=draws)
    value = float(differences @ found) / (kinds * samples)
    low, high = np.quantile(counts @ differences / (kinds * samples), [0.025, 0.975]).tolist()
    return Interval(value, low, high)
