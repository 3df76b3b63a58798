"""The linear barrier: how much higher the loss is between two models than at their ends."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from zoo.population import Samples, evaluate

STEPS = (0.25, 0.5, 0.75)


def linear_barriers(
    module: nn.Module, population: Mapping[str, Tensor], pairs: Sequence[tuple[int, int]], samples: Samples
) -> list[float]:
    """Measure max over a of L((1-a) x + a y) - (1-a) L(x) - a L(y) for pairs of models, in nats.

    Below zero where everything between is better than the ends. Integers are the first model's.

    Args:
        module: How to compute, as in `zoo.population.forward`.
        population: Tensors `[N, ...]` by name.
        pairs: Indices of the models.
        samples: What the loss is measured on.

    Source:
        Frankle et al. 2020, Linear Mode Connectivity, https://arxiv.org/abs/1912.05671.
    """
    ends = evaluate(module, population, samples).loss
    barriers = []
    for first, second in pairs:
        way = {name: _between(stacked[first], stacked[second]) for name, stacked in population.items()}
        losses = evaluate(module, way, samples).loss
        line = [(1 - a) * float(ends[first]) + a * float(ends[second]) for a in STEPS]
        barriers.append(max(float(loss) - at for loss, at in zip(losses, line, strict=True)))
    return barriers


def _between(first: Tensor, second: Tensor) -> Tensor:
    if not first.is_floating_point():
        return first.expand(len(STEPS), *first.shape)
    return torch.stack([torch.lerp(first, second, a) for a in STEPS])
