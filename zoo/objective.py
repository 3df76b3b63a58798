"""What training makes small, and what it is measured by: classes of images and texts, or a differential equation."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import pi
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.functional import cross_entropy

from zoo.group import Member
from zoo.memory import Portion, modest_portion, while_short
from zoo.population import Samples, evaluate, parts, size

PERIOD = 2 * pi


class Objective(Protocol):
    """Gives a member's loss and a second metric on samples."""

    metric: str
    """Name of the second metric."""
    coefficients: tuple[float, ...]
    """A number for each member, [N], that `one` is given."""

    def one(
        self, module: nn.Module, weights: Mapping[str, Tensor], coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One member's mean loss on a batch, and the second metric summed over its samples.

        It is plain torch, so that it can be run for one member after the other, or for all of them by `vmap`.
        A module that is training writes what its normalising layers learn into the buffers of `weights`.
        """

    def measure(self, module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> tuple[Tensor, Tensor]:
        """Each member's mean loss and mean second metric on the same samples, `[N]` each, float64."""


class Classification:
    """Cross-entropy in nats and accuracy (a share, 0 to 1), of an image's class or of each next token of a text."""

    metric = "accuracy"

    def __init__(self, members: Sequence[Member]) -> None:
        self.coefficients = (0.0,) * len(members)

    def one(
        self, module: nn.Module, weights: Mapping[str, Tensor], coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `Objective.one`; `x` is `[n, ...]` and `y` `[n]` or `[n, places]`; it has no coefficient."""
        logits = functional_call(module, dict(weights), (x,))
        hits = (logits.detach().argmax(dim=-1) == y).unsqueeze(-1).flatten(1)
        return cross_entropy(logits.flatten(0, -2), y.flatten()), hits.double().mean(dim=1).sum()

    def measure(self, module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> tuple[Tensor, Tensor]:
        """As `Objective.measure`."""
        scores = evaluate(module, population, samples)
        return scores.loss, scores.accuracy


class Convection:
    """The equation u_t + c u_x = 0 on 0 <= x <= 2 pi, 0 <= t <= 1 with u(x, 0) = sin(x) and a periodic boundary.

    The loss of a network u (Krishnapriyan et al., 2021) is the mean over samples (x, t, x0, t0) of

        (u_t + c u_x)(x, t)^2 + (u(x0, 0) - sin(x0))^2 + (u(0, t0) - u(2 pi, t0))^2

    and the second metric its mean squared distance from the exact solution sin(x - c t). No data are
    needed: samples are places. Derivatives are torch.func's.
    """

    metric = "squared_error"

    def __init__(self, members: Sequence[Member]) -> None:
        self.coefficients = tuple(member.convection or 0.0 for member in members)

    @classmethod
    def of(cls, coefficients: Sequence[float]) -> "Convection":
        """The equations of these coefficients, one a member."""
        made = cls([])
        made.coefficients = tuple(coefficients)
        return made

    def one(
        self, module: nn.Module, weights: Mapping[str, Tensor], coefficient: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `Objective.one`; `x` is `[n, 4]`, the coefficient is c, and `y` is not used."""
        loss, error = self._terms(module, weights, coefficient, x)
        return loss.mean(), error.detach().double().sum()

    def measure(self, module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> tuple[Tensor, Tensor]:
        """As `Objective.measure`."""
        loss, error = self.each(module, population, samples)
        return loss.mean(dim=1), error.mean(dim=1)

    def each(self, module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> tuple[Tensor, Tensor]:
        """Each member's loss and squared error on each sample, `[N, n]` each, float64."""
        first = {name: tensor[:1] for name, tensor in population.items()}
        portion = modest_portion(lambda few: self._each(module, first, few), len(self.coefficients), samples.x)
        return while_short(portion, lambda part: self._in_parts(module, population, samples.x, part), "pinn")

    def _in_parts(
        self, module: nn.Module, population: Mapping[str, Tensor], x: Tensor, portion: Portion
    ) -> tuple[Tensor, Tensor]:
        """Loss and squared error of all members' samples, `[N, n]` each, float64."""
        starts = range(0, len(self.coefficients), portion.members)
        found = [
            torch.cat(
                [torch.stack(self._each(module, part, piece, start)) for piece in torch.split(x, portion.samples)], 2
            )
            for start, part in zip(starts, parts(population, portion.members), strict=True)
        ]
        loss, error = torch.cat(found, dim=1).unbind()
        return loss, error

    @torch.no_grad()
    def _each(self, module: nn.Module, part: Mapping[str, Tensor], x: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """Loss and squared error of each sample of some members, the first of which is number `start`, float64."""
        own = self.coefficients[start : start + size(part)]
        coefficients = torch.tensor(own, dtype=x.dtype, device=x.device)
        loss, error = vmap(partial(self._terms, module), in_dims=(0, 0, None))(dict(part), coefficients, x)
        return loss.double(), error.double()

    def _terms(
        self, module: nn.Module, weights: Mapping[str, Tensor], coefficient: Tensor, samples: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss and squared error of each sample, `[n]` each."""

        def solution(points: Tensor) -> Tensor:
            values: Tensor = functional_call(module, dict(weights), (points,))
            return values[:, 0]

        x, t, start, edge = samples.unbind(dim=1)
        points, zero = torch.stack([x, t], dim=1), torch.zeros_like(x)
        value, pull_back, *_ = vjp(solution, points)
        in_x, in_t = pull_back(torch.ones_like(value))[0].unbind(dim=1)
        residual = in_t + coefficient * in_x
        initial = solution(torch.stack([start, zero], dim=1)) - start.sin()
        left, right = (solution(torch.stack([zero + place, edge], dim=1)) for place in (0.0, PERIOD))
        exact = (x - coefficient * t).sin()
        return residual**2 + initial**2 + (left - right) ** 2, (value - exact) ** 2


def objective(architecture: str, members: Sequence[Member]) -> Objective:
    """Choose what members of an architecture are trained for."""
    return Convection(members) if architecture == "pinn" else Classification(members)
