"""Scores every stitch of a network: accuracy with its error, FLOPs, parameters, time, and the Pareto front."""

from dataclasses import dataclass
from math import sqrt

import torch

from learners.stitching.cost import count_flops, latency, parameters, pareto
from learners.stitching.stitchable import StitchableNetwork
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
    standard_error: float
    samples: int
    on_front: bool
    """Whether no stitch of this stage that costs as little is as accurate."""


@torch.no_grad()
def score(network: StitchableNetwork, samples: Samples, stage: str, at_once: int = 1000) -> list[Scored]:
    """Score every stitch on samples, and remember FLOPs and accuracies in the network."""
    costs = count_flops(network, samples.x[:1])
    sizes, times, shares = parameters(network), [], []
    for index in range(len(network.stitches)):
        path = network.at(index)
        batches = zip(torch.split(samples.x, at_once), torch.split(samples.y, at_once), strict=True)
        shares.append(sum(int((path(x).argmax(-1) == y).sum()) for x, y in batches) / samples.y.numel())
        times.append(latency(path, samples.x[:TIMED]))
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
            standard_error=sqrt(share * (1 - share) / len(samples)),
            samples=len(samples),
            on_front=index in front,
        )
        for index, share in enumerate(shares)
    ]
