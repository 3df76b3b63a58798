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
    """Accuracy of predictions `[n]` (true where right) with its 95 % interval.

    Args:
        correct: Which predictions are right.
        draws: Samples of n predictions that are drawn with replacement.
        seed: What is drawn hangs on it.
    """
    return difference_interval(correct, torch.zeros_like(correct), draws, seed)


def difference_interval(first: Tensor, second: Tensor, draws: int = DRAWS, seed: int = 0) -> Interval:
    """By how much one candidate is right more often than another on the same samples, with its 95 % interval.

    Samples are drawn, not predictions, so that what both get right or wrong cancels out. Each draw gives a multinomial
    count of the samples that only the first, only the second, or both or neither got right.
    """
    samples = len(first)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    rest = samples - only_first - only_second
    source = np.random.default_rng(key("bootstrap", seed, samples))
    counts = source.multinomial(samples, [only_first / samples, only_second / samples, rest / samples], size=draws)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / samples, [0.025, 0.975]).tolist()
    return Interval((only_first - only_second) / samples, low, high)
