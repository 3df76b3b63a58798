"""What backends share that keep a population as one matrix of weights and let torch do the arithmetic."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor

from schemas.errors import OutsideError
from zoo.augmentation import augment
from zoo.backends.assignment import AUGMENTATION, Assignment
from zoo.backends.backend import BUFFER, MEMORY, State
from zoo.memory import is_short
from zoo.objective import objective
from zoo.optimise import columns, fresh, optimiser
from zoo.population import Samples, Weights, flatten, unflatten

Values = dict[str, Tensor]
"""Values of a step by name, each `[members, ...]`."""


class Stacked(ABC):
    """Weights `[N, parameters]`, buffers, and what the optimiser remembers; as many members at once as fit.

    A step is a function of what it is given. So one for which there is no memory is taken again with
    half as many members at once, and nothing has happened in between.
    """

    name: ClassVar[str]

    def __init__(self, assignment: Assignment) -> None:
        self.assignment, self.shapes = assignment, assignment.shapes
        group, dtype = assignment.group, assignment.dtype
        self.objective = objective(group.architecture, group.members)
        self.metric = self.objective.metric
        self.optimiser = optimiser(group.optimizer, group.momentum)
        weights = flatten({name: assignment.start[name] for name in self.shapes}).to(assignment.device, dtype)
        self.values = {"weights": weights, "cause": torch.zeros(len(weights), dtype=torch.int64, device=weights.device)}
        for number, memory in enumerate(fresh(self.optimiser.memories, weights)):
            self.values[f"{MEMORY}{number}"] = memory
        for name, tensor in assignment.start.items():
            if name not in self.shapes:
                held = tensor.to(assignment.device)
                self.values[BUFFER + name] = held.to(dtype) if held.is_floating_point() else held
        self.settings = {
            "rate": columns([member.learning_rate for member in group.members], weights),
            "decay": columns([member.weight_decay for member in group.members], weights),
            "coefficient": torch.tensor(self.objective.coefficients, dtype=dtype, device=weights.device),
        }
        self.at_once = assignment.members

    @abstractmethod
    def gradient(
        self, weights: Tensor, buffers: Weights, coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give gradients `[m, parameters]`, mean losses `[m]` and summed second metrics `[m]` of m members.

        Args:
            weights: Their parameters `[m, parameters]`.
            buffers: Their buffers, and the keys of what is random; what normalising layers learn is written into them.
            coefficient: A number for each that the objective wants, `[m]`.
            x: Samples of each `[m, b, ...]`.
            y: Their labels `[m, b, ...]`.
        """

    def smaller(self) -> AbstractContextManager[None]:
        """Where forward passes are made, in the type of mixed precision if there is one."""
        precision = self.assignment.precision
        kind = self.assignment.device.type
        return torch.autocast(kind, dtype=precision) if precision else nullcontext()

    @property
    def cause(self) -> Tensor:
        """As `Backend.cause`."""
        return self.values["cause"]

    def step(self, batch: Tensor, share: float, step: int) -> tuple[Tensor, Tensor]:
        """As `Backend.step`."""
        given = self.values | self.settings | {"batch": batch, "y": self.assignment.targets(batch)}
        given["rate"] = self.settings["rate"] * share
        given |= {name: self.assignment.keys(name, step) for name in self.assignment.random}
        corrections = given["weights"].new_tensor(self.optimiser.corrections(step))
        taken = self._in_parts(given, corrections)
        self.values = {name: taken[name] for name in self.values}
        return taken["loss"], taken["score"]

    def _in_parts(self, given: Values, corrections: Tensor) -> Values:
        """Advance as many members at once as there is memory for; how many that are is found here."""
        while True:
            try:
                parts = zip(*(torch.split(tensor, self.at_once) for tensor in given.values()), strict=True)
                taken = [self.advance(dict(zip(given, part, strict=True)), corrections) for part in parts]
                return {name: torch.cat([part[name] for part in taken]) for name in taken[0]}
            except (RuntimeError, MemoryError) as error:
                if not is_short(error):
                    raise
                if self.at_once == 1:
                    raise OutsideError(f"one {self.assignment.group.architecture} does not fit in memory") from error
                self.at_once = (self.at_once + 1) // 2
            torch.cuda.empty_cache()

    def advance(self, values: Values, corrections: Tensor) -> Values:
        """Take some members one step on: a pure function of `values` and `corrections`."""
        return self.take(values | {"x": self._samples(values)}, corrections)

    def take(self, values: Values, corrections: Tensor) -> Values:
        """Do what `advance` does once the samples `x` `[m, b, ...]` are among the values."""
        before = {name: tensor for name, tensor in values.items() if name.startswith(BUFFER)}
        buffers = {name.removeprefix(BUFFER): tensor.clone() for name, tensor in before.items()}
        keys = {name: values[name] for name in self.assignment.dropouts}
        weights, y = values["weights"], values["y"]
        gradient, loss, score = self.gradient(weights, buffers | keys, values["coefficient"], values["x"], y)
        memory = tuple(values[f"{MEMORY}{number}"] for number in range(self.optimiser.memories))
        moved, memory = self.optimiser.step(weights, gradient, memory, values["rate"], values["decay"], corrections)
        after = {"weights": moved} | {BUFFER + name: tensor for name, tensor in buffers.items()}
        cause = torch.where(values["cause"] == 0, _not_finite(loss, moved, buffers), values["cause"])
        moving = cause == 0
        taken = {name: torch.where(_rows(moving, tensor), tensor, values[name]) for name, tensor in after.items()}
        remembered = {f"{MEMORY}{number}": tensor for number, tensor in enumerate(memory)}
        return taken | remembered | {"cause": cause, "loss": loss, "score": score}

    def _samples(self, values: Values) -> Tensor:
        """Samples of each member's own batch, augmented if the recipe says so."""
        x = self.assignment.train.x[values["batch"]]
        names = self.assignment.group.augmentation
        return augment(x, names, values[AUGMENTATION]) if names else x

    def measure(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """As `Backend.measure`."""
        return self.objective.measure(self.assignment.module, self.population(), samples)

    def population(self) -> Weights:
        """As `Backend.population`."""
        buffers = {n.removeprefix(BUFFER): tensor for n, tensor in self.values.items() if n.startswith(BUFFER)}
        return unflatten(self.values["weights"], self.shapes) | buffers

    def state(self) -> State:
        """As `Backend.state`."""
        return {name: tensor.cpu().clone() for name, tensor in self.values.items()}

    def restore(self, state: State) -> None:
        """As `Backend.restore`."""
        self.values = {name: state[name].to(tensor) for name, tensor in self.values.items()}


def _not_finite(loss: Tensor, weights: Tensor, buffers: Weights) -> Tensor:
    """Index of the first of `CAUSES` that is not finite, `[m]`, 0 where all are."""
    known = torch.ones_like(loss, dtype=torch.bool)
    for tensor in buffers.values():
        known = known & tensor.reshape(len(loss), -1).isfinite().all(dim=1)
    wrong = ~torch.stack([torch.ones_like(known), loss.isfinite(), weights.isfinite().all(dim=1), known])
    return wrong.int().argmax(dim=0)


def _rows(members: Tensor, like: Tensor) -> Tensor:
    """Turn a value for each member `[m]` into one that `[m, ...]` takes."""
    return members.view(-1, *[1] * (like.ndim - 1))
