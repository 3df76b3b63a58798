"""Compares a soup with what it was made of: best single member, mean member, logit ensemble."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zoo.population import Samples, Scores, evaluate, losses

SAMPLES_AT_ONCE = 512


@dataclass(frozen=True)
class Judged:
    """How members do on the same samples, each alone and all together."""

    scores: Scores
    together: Tensor
    """Which predictions of their mean logits are right."""


@torch.no_grad()
def judge(module: nn.Module, members: Sequence[Mapping[str, Tensor]], samples: Samples) -> Judged:
    """Score members and their ensemble in one pass, one member after the other: stacked convolutions are slower."""
    loss_sum = torch.zeros(len(members), dtype=torch.float64)
    correct = torch.zeros(len(members), dtype=torch.int64)
    together = []
    batches = zip(torch.split(samples.x, SAMPLES_AT_ONCE), torch.split(samples.y, SAMPLES_AT_ONCE), strict=True)
    for x, y in batches:
        logits = torch.stack([functional_call(module, dict(member), (x,)) for member in members])
        loss_sum += losses(logits, y).flatten(1).sum(dim=1, dtype=torch.float64)
        correct += (logits.argmax(dim=-1) == y).flatten(1).sum(dim=1)
        together.append((logits.mean(dim=0).argmax(dim=-1) == y).flatten())
    return Judged(Scores(loss_sum, correct, samples.y.numel()), torch.cat(together))


@dataclass(frozen=True)
class Figure:
    """Accuracy (0 to 1) of one candidate on one split, with its standard error and the number of samples."""

    candidate: str
    split: str
    accuracy: float
    standard_error: float
    samples: int


def compare(
    module: nn.Module, soup: Mapping[str, Tensor], judged: Mapping[str, Judged], parts: Mapping[str, Samples]
) -> list[Figure]:
    """Accuracy of soup, best single member (chosen on validation), mean member and logit ensemble on each split.

    Args:
        module: How to compute, as in `zoo.population.forward`.
        soup: The averaged model, without the leading axis.
        judged: How its ingredients do on `validation` and `test`.
        parts: The samples of these splits.
    """
    best = int(judged["validation"].scores.accuracy.argmax())
    figures = []
    for split, samples in parts.items():
        scores = judged[split].scores
        figures += [
            _figure("soup", split, accuracy(module, soup, samples), samples),
            _figure("best single", split, float(scores.accuracy[best]), samples),
            _mean(scores, split),
            _figure("logit ensemble", split, float(judged[split].together.double().mean()), samples),
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
