"""Scores every stitch of a network: accuracy with its error, FLOPs, parameters, time, and the Pareto front."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from learners.stitching.cost import count_flops, latency, parameters, pareto
from learners.stitching.penalty import wrong_predictions
from learners.stitching.stitchable import StitchableNetwork
from zoo.memory import modest_portion
from zoo.population import Samples

TIMED = 64


@dataclass(frozen=True)
class Scored:
    """One stitch at one stage of making a network: joints drawn at random, by least squares, or trained."""

    stitch: int
    path: str
    hops: int
    stage: str
    flops: int
    """For one sample, two for a multiplication with its addition."""
    parameters: int
    latency: float
    """Seconds for a batch of `TIMED` samples, median of five runs."""
    accuracy: float
    """Share of right predictions; one from logits that are not finite is wrong."""
    standard_error: float
    """Of the accuracy, for another draw of samples; a text with all its places is one sample."""
    samples: int
    on_front: bool
    """Whether no stitch of this stage that costs as little is as accurate."""


@torch.no_grad()
def score(network: StitchableNetwork, samples: Samples, stage: str, at_once: int | None = None) -> list[Scored]:
    """Score every stitch on samples, and remember FLOPs and accuracies in the network.

    Args:
        network: The network.
        samples: What to score on.
        stage: What the rows say of it.
        at_once: Samples that go through at once; without it so many that memory stays modest.
    """
    together = at_once or modest_portion(network, 1, samples.x).samples
    costs = count_flops(network, samples.x[:1])
    sizes, times, right = parameters(network), [], []
    for index in range(len(network.stitches)):
        path = network.at(index)
        right.append(_right(path, samples, together))
        times.append(latency(path, samples.x[:TIMED]))
    shares = [int(each.sum()) / samples.y.numel() for each in right]
    places = samples.y.numel() / len(samples)
    network.accuracies = tuple(shares)
    front = set(pareto(costs, shares))
    return [
        Scored(
            stitch=index,
            path=str(network.stitches[index]),
            hops=len(network.stitches[index].hops),
            stage=stage,
            flops=costs[index],
            parameters=sizes[index],
            latency=times[index],
            accuracy=share,
            standard_error=sqrt(float((right[index] / places).var(correction=0)) / len(samples)),
            samples=len(samples),
            on_front=index in front,
        )
        for index, share in enumerate(shares)
    ]


def _right(path: nn.Module, samples: Samples, at_once: int) -> Tensor:
    """How many predictions are right of every sample, `[n]`, float64: 0 or 1, and of a text up to its places."""
    batches = zip(torch.split(samples.x, at_once), torch.split(samples.y, at_once), strict=True)
    return torch.cat([(~wrong_predictions(path(x), y)).reshape(len(y), -1).double().sum(dim=1) for x, y in batches])
