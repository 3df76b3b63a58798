"""A group of models that are measured together: their stacked weights, how they compute, and their data."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite

import torch
from torch import Tensor, nn

from learners.landscape.curvature.loss import LossSum, cross_entropy_sum, physics_loss_sum
from learners.landscape.measuring.trained_on import WHOLE, TrainedOn, union
from schemas import UsageError
from zoo.architectures import PINN
from zoo.datasets import Dataset
from zoo.objective import Convection
from zoo.population import Samples, Weights, flatten, forward, losses
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
        dataset: Their data.
        seed: Of everything that is drawn.
        seeds: What they were trained with, of members of populations.
        curves: Training loss after each epoch, of models that were trained in the lake.
        trained_on: What part of the data members saw, and with what labels, of those that did not see all as they are.
        coefficients: Those of the equation that physics-informed networks solve.
        given: Whether the network is a caller's own.
    """

    names: Sequence[str]
    module: nn.Module
    weights: Weights
    dataset: Dataset
    seed: int
    seeds: Mapping[str, int] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    trained_on: Mapping[str, TrainedOn] = field(default_factory=dict)
    coefficients: Mapping[str, float] = field(default_factory=dict)
    given: bool = False

    @property
    def physical(self) -> bool:
        """Whether these are networks of an equation, without classes."""
        return isinstance(self.module, PINN)

    @cached_property
    def broken(self) -> frozenset[str]:
        """Models with weights that are no finite numbers."""
        finite = torch.ones(len(self.names), dtype=torch.bool)
        for tensor in self.weights.values():
            finite &= torch.isfinite(tensor).reshape(len(tensor), -1).all(dim=1).cpu()  # counters are `[N]`
        return frozenset(name for name, whole in zip(self.names, finite.tolist(), strict=True) if not whole)

    @cached_property
    def unfit(self) -> str | None:
        """Why these networks cannot be run on their data; None where they can."""
        if self.physical:
            return None
        few = Samples(self.dataset.train.x[:2], self.dataset.train.y[:2])
        try:
            with torch.no_grad():
                logits = forward(self.module, self.subset([0]).weights, few.x)
                losses(logits[..., :1], torch.zeros_like(few.y))
        except Exception as error:  # noqa: BLE001 - a network of the user's may fail in any way
            return f"the network does not run on its data: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        classes = 1 + max(int(part.y.max()) for part in (self.dataset.train, self.dataset.test) if len(part))
        if logits.shape[1:-1] != few.y.shape or logits.shape[-1] < classes:
            shape = list(logits.shape[1:])
            return f"the network gives outputs {shape} for {len(few)} samples, and the data have {classes} classes"
        return None

    def loss_sum(self) -> LossSum:
        """What these models were trained to make small, summed over predictions; see `LossSum`."""
        if not self.physical:
            return cross_entropy_sum(self.module)
        return physics_loss_sum(self.module, Convection.of(self.known_coefficients()))

    def known_coefficients(self) -> list[float]:
        """The coefficient of each model's equation.

        Raises:
            UsageError: One is not known here.
        """
        for name in self.names:
            if name not in self.coefficients:
                raise UsageError(f"the coefficient of the equation that {name} solves is not known here")
        return [self.coefficients[name] for name in self.names]

    def as_trained(self) -> Iterator["Group"]:
        """The models in groups that saw the same training data with the same labels, with those as their data."""
        together: dict[TrainedOn, list[int]] = {}
        for number, name in enumerate(self.names):
            together.setdefault(self.trained_on.get(name, WHOLE), []).append(number)
        for seen, numbers in together.items():
            part = self if len(together) == 1 else self.subset(numbers)
            yield replace(part, dataset=seen.of(self.dataset), trained_on={})

    def seen_by(self, first: int, second: int) -> tuple[TrainedOn, TrainedOn]:
        """What two of the models were trained on."""
        return tuple(self.trained_on.get(self.names[number], WHOLE) for number in (first, second))  # type: ignore[return-value] # two

    def train_of(self, both: tuple[TrainedOn, TrainedOn]) -> Samples:
        """The training samples of two models, with the labels of both where these differ."""
        return union(*(seen.of(self.dataset) for seen in both))

    def to(self, device: str) -> "Group":
        """The same on a device: `cpu`, `cuda`."""
        if device == "cpu":
            return self
        data, where = self.dataset, torch.device(device)
        train, validation, test = (part.to(where, torch.float32) for part in (data.train, data.validation, data.test))
        data = replace(data, train=train, validation=validation, test=test)
        weights = {name: tensor.to(device) for name, tensor in self.weights.items()}
        return replace(self, module=moved(self.module, device), weights=weights, dataset=data)

    def subset(self, chosen: Sequence[int]) -> "Group":
        """Some of the models."""
        return replace(self, names=[self.names[number] for number in chosen], weights=self.members(chosen))

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
            yield self.subset(range(begin, min(begin + at_once, len(self.names))))


def moved(module: nn.Module, device: str) -> nn.Module:
    """A copy of a network on a device; one that has no values stays without."""
    copy = deepcopy(module)
    return copy if any(tensor.is_meta for tensor in copy.state_dict().values()) else copy.to(device)


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
