"""A group of models that are measured together: their stacked weights, how they compute, and their data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

import torch
from torch import Tensor, nn

from zoo.datasets import Dataset
from zoo.population import Samples, Weights, flatten, forward
from zoo.randomness import generator

SAMPLES_AT_ONCE = 256
VALUES_AT_ONCE = 20_000_000
"""Numbers of outputs that are held at once."""
NOT_FINITE = "the value is no finite number: the model has diverged, or its outputs are the same for all samples"


@dataclass(frozen=True)
class Found:
    """A value with its error, or the reason why there is none; `detail` are settings of this one value."""

    value: float | None
    error: float | None = None
    samples: int | None = None
    probes: int | None = None
    reason: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


Columns = dict[str, list[list[Found]]]
"""By metric for each model or pair what was found: one value, or one a layer, a place, a rank."""


@dataclass
class Group:
    """Models of one architecture and shape, on one dataset.

    Attributes:
        names: model_id of each.
        module: The skeleton.
        weights: `[N, ...]` by name.
        dataset: What they were trained on.
        seed: Of everything that is drawn.
        seeds: What they were trained with, of members of populations.
        curves: Training loss after each epoch, of models that were trained in the lake.
    """

    names: Sequence[str]
    module: nn.Module
    weights: Weights
    dataset: Dataset
    seed: int
    seeds: Mapping[str, int] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @cached_property
    def parameter_names(self) -> list[str]:
        """Names of the parameters; the other tensors are buffers."""
        return [name for name, _ in self.module.named_parameters()]

    @cached_property
    def layers(self) -> dict[str, list[str]]:
        """Names of the parameters of each layer."""
        layers: dict[str, list[str]] = {}
        for name in self.parameter_names:
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
        return layers

    def drawn(self, count: int, part: str = "train") -> Samples:
        """So many samples at most, drawn once for the seed."""
        samples = self.dataset.part(part)
        purpose = "measured samples" if part == "train" else f"measured samples of {part}"
        chosen = torch.randperm(len(samples), generator=generator(purpose, self.seed))[:count]
        return Samples(samples.x[chosen], samples.y[chosen])

    def outputs(self, x: Tensor) -> Tensor:
        """Logits of all models, `[N, n, classes]`; each place of a text is a sample."""
        with torch.no_grad():
            pieces = [forward(self.module, self.weights, piece) for piece in torch.split(x, SAMPLES_AT_ONCE)]
        return torch.cat(pieces, dim=1).flatten(1, -2)

    @cached_property
    def matrix(self) -> Tensor:
        """The parameters of each model as a row, `[N, P]`."""
        return flatten({name: self.weights[name] for name in self.parameter_names})

    def members(self, chosen: Sequence[int]) -> Weights:
        """Weights of some of the models, `[chosen, ...]`."""
        return {name: tensor[list(chosen)] for name, tensor in self.weights.items()}

    def parts(self, each: int) -> Iterator["Group"]:
        """The group in parts of so many models that `each` numbers a model do not become too many."""
        at_once = max(1, VALUES_AT_ONCE // max(1, each))
        for begin in range(0, len(self.names), at_once):
            chosen = range(begin, min(begin + at_once, len(self.names)))
            names = [self.names[number] for number in chosen]
            weights = {name: tensor[begin : begin + at_once] for name, tensor in self.weights.items()}
            yield Group(names, self.module, weights, self.dataset, self.seed, self.seeds, self.curves)


def found(
    value: Tensor | float,
    error: Tensor | float | None,
    samples: int | None,
    probes: int | None = None,
    **detail: object,
) -> Found:
    """A value, or the reason that it is no finite number."""
    number = float(value)
    if not isfinite(number):
        return Found(None, None, samples, probes, NOT_FINITE, detail)
    spread = None if error is None or not isfinite(float(error)) else float(error)
    return Found(number, spread, samples, probes, None, detail)


def refused(group: Group, names: Sequence[str], reason: str) -> Columns:
    """The same reason for every model and metric."""
    return {name: [[Found(None, reason=reason)] for _ in group.names] for name in names}
