"""A group of models that are measured together: their stacked weights, how they compute, and their data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from zoo.datasets import Dataset
from zoo.population import Samples, Scores, Weights, evaluate, flatten, forward
from zoo.randomness import generator

HESSIAN_SAMPLES = 1000
LOGIT_SAMPLES = 1280
SAMPLES_AT_ONCE = 256
NOT_FINITE = "the value is no finite number: the model has diverged, or its outputs are the same for all samples"


@dataclass(frozen=True)
class Found:
    """A value with its error, or the reason why there is none."""

    value: float | None
    error: float | None = None
    samples: int | None = None
    probes: int | None = None
    reason: str | None = None


@dataclass
class Group:
    """Models of one architecture and shape, on one dataset.

    Attributes:
        names: model_id of each.
        module: The skeleton.
        weights: `[N, ...]` by name.
        dataset: What they were trained on.
        seed: Of everything that is drawn.
    """

    names: Sequence[str]
    module: nn.Module
    weights: Weights
    dataset: Dataset
    seed: int

    @cached_property
    def parameter_names(self) -> list[str]:
        """Names of the parameters; the other tensors are buffers."""
        return [name for name, _ in self.module.named_parameters()]

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Loss and accuracy on train and test."""
        return {name: evaluate(self.module, self.weights, self.dataset.part(name)) for name in ("train", "test")}

    def drawn(self, count: int) -> Samples:
        """So many training samples, drawn once for the seed."""
        train = self.dataset.train
        chosen = torch.randperm(len(train), generator=generator("measured samples", self.seed))[:count]
        return Samples(train.x[chosen], train.y[chosen])

    @cached_property
    def logits(self) -> Tensor:
        """Outputs on drawn training samples, `[N, n, classes]`; each place of a text is a sample."""
        pieces = torch.split(self.drawn(LOGIT_SAMPLES).x, SAMPLES_AT_ONCE)
        with torch.no_grad():
            logits = torch.cat([forward(self.module, self.weights, x) for x in pieces], dim=1)
        return logits.flatten(1, -2)

    @cached_property
    def matrix(self) -> Tensor:
        """The parameters of each model as a row, `[N, P]`."""
        return flatten({name: self.weights[name] for name in self.parameter_names})

    def members(self, chosen: Sequence[int]) -> Weights:
        """Weights of some of the models, `[chosen, ...]`."""
        return {name: tensor[list(chosen)] for name, tensor in self.weights.items()}


def found(value: Tensor | float, error: Tensor | float | None, samples: int, probes: int | None = None) -> Found:
    """A value, or the reason that it is no finite number."""
    number = float(value)
    if not torch.isfinite(torch.tensor(number)):
        return Found(None, None, samples, probes, NOT_FINITE)
    spread = None if error is None or not torch.isfinite(torch.as_tensor(error)) else float(error)
    return Found(number, spread, samples, probes)
