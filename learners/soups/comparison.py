"""Compares a soup with what it was made of: best single member, mean member, logit ensemble."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.population import Samples, Scores, evaluate, forward, size

SAMPLES_AT_ONCE = 4096


@dataclass(frozen=True)
class Figure:
    """Accuracy (0 to 1) of one candidate on one split, with its standard error and the number of samples."""

    candidate: str
    split: str
    accuracy: float
    standard_error: float
    samples: int


def compare(
    module: nn.Module,
    population: Mapping[str, Tensor],
    soup: Mapping[str, Tensor],
    validation: Samples,
    test: Samples,
) -> list[Figure]:
    """Accuracy of soup, best single member (chosen on validation), mean member and logit ensemble on both splits.

    Args:
        module: How to compute, as in `zoo.population.forward`.
        population: The ingredients, tensors `[N, ...]`.
        soup: The averaged model, without the leading axis.
        validation: What the best single member is chosen on.
        test: What is reported.
    """
    best = int(evaluate(module, population, validation).accuracy.argmax())
    figures = []
    for split, samples in (("validation", validation), ("test", test)):
        scores = evaluate(module, population, samples)
        figures += [
            _figure("soup", split, accuracy(module, soup, samples), samples),
            _figure("best single", split, float(scores.accuracy[best]), samples),
            _mean(scores, split),
            _figure("logit ensemble", split, ensemble_accuracy(module, population, samples), samples),
        ]
    return figures


def accuracy(module: nn.Module, weights: Mapping[str, Tensor], samples: Samples) -> float:
    """Accuracy (0 to 1) of one model, tensors without a leading axis."""
    return float(evaluate(module, {name: tensor[None] for name, tensor in weights.items()}, samples).accuracy[0])


def _figure(candidate: str, split: str, accuracy: float, samples: Samples) -> Figure:
    error = math.sqrt(accuracy * (1 - accuracy) / len(samples))
    return Figure(candidate, split, accuracy, error, len(samples))


def _mean(scores: Scores, split: str) -> Figure:
    """The mean member; its standard error is that of a mean over the members."""
    accuracy = scores.accuracy
    error = float(accuracy.std()) / math.sqrt(len(accuracy)) if len(accuracy) > 1 else math.nan
    return Figure("mean member", split, float(accuracy.mean()), error, scores.samples)


@torch.no_grad()
def ensemble_accuracy(module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> float:
    """Accuracy of the members' averaged logits."""
    at_once = max(1, SAMPLES_AT_ONCE // size(population))
    correct = 0
    for x, y in zip(torch.split(samples.x, at_once), torch.split(samples.y, at_once), strict=True):
        correct += int((forward(module, population, x).mean(dim=0).argmax(dim=1) == y).sum())
    return correct / len(samples)
