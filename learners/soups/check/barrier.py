"""The linear barrier: how much higher the loss is between two models than at their ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from learners.soups.data.batch_norm import has_statistics, reestimate
from zoo.memory import Portion, while_short
from zoo.population import Samples, forward, losses, parts, portion_of, stack

STEPS = (0.25, 0.5, 0.75)
HIGH = 0.1
"""Nats from which on a barrier speaks against a merge."""
CERTAIN = 2.0
"""So many standard errors above `HIGH` it has to be."""


@dataclass(frozen=True)
class Barrier:
    """Height of a barrier in nats, and its standard error for another draw of samples."""

    height: float
    error: float

    @property
    def high(self) -> bool:
        """Whether averages between the two are worse than they are, beyond doubt and by more than `HIGH`."""
        return not self.height - CERTAIN * self.error <= HIGH  # what has no number is no less bad


def linear_barriers(
    module: nn.Module,
    models: Sequence[Mapping[str, Tensor]],
    pairs: Sequence[tuple[int, int]],
    samples: Samples,
    train: Samples,
) -> list[Barrier]:
    """Measure max over a of L((1-a) x + a y) - (1-a) L(x) - a L(y) for pairs of models, in nats.

    Below zero where everything between is better than the ends. Integers are the first model's. Batch-norm statistics
    of what is between are estimated anew, as those of a merge are; means of running statistics would overstate it.

    Args:
        module: How to compute, as in `zoo.population.forward`.
        models: Tensors of each by name; asked for when they are needed, two of them at a time.
        pairs: Indices of the models.
        samples: What the loss is measured on.
        train: What batch-norm statistics are estimated from.

    Source:
        Frankle et al. 2020, Linear Mode Connectivity, https://arxiv.org/abs/1912.05671; statistics anew as in
        Jordan et al. 2023, REPAIR, https://arxiv.org/abs/2211.08403.
    """
    ends = {
        index: _losses(module, stack([models[index]]), samples) for index in sorted({i for pair in pairs for i in pair})
    }
    ways = (_way(module, models[i], models[j], train) for i, j in pairs)
    return [
        _barrier(_losses(module, way, samples), torch.cat([ends[i] for i in pair]))
        for pair, way in zip(pairs, ways, strict=True)
    ]


def _barrier(between: Tensor, ends: Tensor) -> Barrier:
    """The highest of `[steps, n]` losses above the line between those of the ends, `[2, n]`."""
    a = torch.tensor(STEPS, dtype=torch.float64)[:, None]
    above = between - ((1 - a) * ends[0] + a * ends[1])
    highest = above[above.mean(dim=1).nan_to_num(torch.inf).argmax()]
    error = float(highest.std()) / sqrt(len(highest)) if len(highest) > 1 else torch.inf
    return Barrier(float(highest.mean()), error)


def _way(
    module: nn.Module, first: Mapping[str, Tensor], second: Mapping[str, Tensor], train: Samples
) -> dict[str, Tensor]:
    way = {name: _between(tensor, second[name]) for name, tensor in first.items()}
    if not has_statistics(way):
        return way
    places = [{name: tensor[step] for name, tensor in way.items()} for step in range(len(STEPS))]
    return stack([reestimate(module, weights, train) for weights in places])


def _between(first: Tensor, second: Tensor) -> Tensor:
    if not first.is_floating_point():
        return first.expand(len(STEPS), *first.shape)
    return torch.stack([torch.lerp(first, second, a) for a in STEPS])


@torch.no_grad()
def _losses(module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> Tensor:
    """Mean loss of each member on each sample, `[N, n]`, float64."""

    def work(portion: Portion) -> Tensor:
        return torch.cat(
            [_of_part(module, part, samples, portion.samples) for part in parts(population, portion.members)]
        )

    found = while_short(portion_of(module, population, samples.x), work, type(module).__name__)
    return found.flatten(2).mean(dim=2) if found.ndim > 2 else found


def _of_part(module: nn.Module, part: Mapping[str, Tensor], samples: Samples, chunk: int) -> Tensor:
    batches = zip(torch.split(samples.x, chunk), torch.split(samples.y, chunk), strict=True)
    return torch.cat([losses(forward(module, part, x), y).double() for x, y in batches], dim=1)
