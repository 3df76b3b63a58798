"""A population is one value with a leading axis: weights of N models stacked under each tensor's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from zoo.memory import Portion, modest_portion, while_short

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Samples:
    """Samples `x` `[n, ...]` with their classes `y` (int64).

    Images are `[n, channels, height, width]`, floating point, with a class each, `[n]`. Texts are
    tokens `[n, places]`, int64, and `y` `[n, places]` holds the next token of each place.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Samples":
        """Move to a device; `dtype` is that of `x` where it is floating point."""
        x = self.x.to(device, dtype) if self.x.is_floating_point() else self.x.to(device)
        return Samples(x, self.y.to(device))


@dataclass(frozen=True)
class Scores:
    """How the members of a population do on the same samples."""

    loss_sum: Tensor
    """Summed cross-entropy `[N]`, float64, nats."""
    correct: Tensor
    """Correct predictions `[N]`, int64."""
    samples: int
    """Predictions in all: one for each image, one for each place of each text."""

    @property
    def loss(self) -> Tensor:
        """Mean cross-entropy `[N]`, float64, nats."""
        return self.loss_sum / self.samples

    @property
    def accuracy(self) -> Tensor:
        """Share of correct predictions `[N]`, float64."""
        return self.correct.double() / self.samples


def stack(members: Sequence[Mapping[str, Tensor]]) -> Weights:
    """Stack models of the same names and shapes into a population."""
    return {name: torch.stack([member[name] for member in members]) for name in members[0]}


def size(population: Mapping[str, Tensor]) -> int:
    """Count the members of a population."""
    return len(next(iter(population.values())))


def member(population: Mapping[str, Tensor], index: int) -> Weights:
    """Take one model out of a population, without the leading axis (views, not copies)."""
    return {name: tensor[index] for name, tensor in population.items()}


def flatten(population: Mapping[str, Tensor]) -> Tensor:
    """Write a population as a matrix `[N, parameters]`, a row a member, names in their order."""
    return torch.cat([tensor.flatten(1) for tensor in population.values()], dim=1)


def unflatten(matrix: Tensor, shapes: Mapping[str, torch.Size]) -> Weights:
    """Turn `flatten`'s matrix back into a population; `shapes` are those of one member (views)."""
    columns = torch.split(matrix, [shape.numel() for shape in shapes.values()], dim=1)
    named = zip(shapes.items(), columns, strict=True)
    return {name: column.reshape(len(matrix), *shape) for (name, shape), column in named}


def forward(module: nn.Module, population: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Run every member on the same samples `[n, ...]`; gives logits `[N, n, ..., classes]`.

    `module` only says how to compute; it may be a `zoo.architectures.skeleton`.
    """
    return _vectorised(module, population, x, None)


def forward_each(module: nn.Module, population: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Run each member on samples of its own `[N, n, ...]`; gives logits `[N, n, ..., classes]`.

    A module that is training writes what its normalising layers learn into the population's buffers.
    """
    return _vectorised(module, population, x, 0)


def losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy in nats of logits `[N, n, ..., classes]` against classes `[N, n, ...]` or `[n, ...]`.

    Gives a number for each prediction, `[N, n, ...]`.
    """
    y = y.expand(logits.shape[:-1])
    return cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none").view(y.shape)


def evaluate(module: nn.Module, population: Mapping[str, Tensor], samples: Samples, chunk: int | None = None) -> Scores:
    """Score every member on the same samples.

    How many go through at once changes the order in which float64 sums are taken, and nothing else.

    Args:
        module: How to compute, as in `forward`.
        population: Weights, on the device of the samples.
        samples: What to score on.
        chunk: Samples that go through at once; without it so many that memory stays modest, as
            `zoo.memory.modest_portion`. Where there is no memory for them, half as many do.

    Raises:
        OutsideError: One sample of one member does not fit in memory.
    """
    portion = Portion(size(population), chunk) if chunk else portion_of(module, population, samples.x)
    return while_short(portion, lambda part: _scored(module, population, samples, part), type(module).__name__)


def portion_of(module: nn.Module, population: Mapping[str, Tensor], x: Tensor) -> Portion:
    """Choose how many members and samples `x` `[n, ...]` go through at once, as `zoo.memory.modest_portion`."""
    first = {name: tensor[:1] for name, tensor in population.items()}
    return modest_portion(lambda few: forward(module, first, few), size(population), x)


def samples_at_once(module: nn.Module, population: Mapping[str, Tensor], x: Tensor) -> int:
    """How many samples `[n, ...]` all members may be given at once, as `zoo.memory.modest_portion`."""
    return portion_of(module, population, x).samples


def parts(population: Mapping[str, Tensor], members: int) -> list[Weights]:
    """Cut a population into parts of so many members (views)."""
    pieces = zip(*(torch.split(tensor, members) for tensor in population.values()), strict=True)
    return [dict(zip(population, piece, strict=True)) for piece in pieces]


@torch.no_grad()
def _scored(module: nn.Module, population: Mapping[str, Tensor], samples: Samples, portion: Portion) -> Scores:
    found = [_scored_together(module, part, samples, portion.samples) for part in parts(population, portion.members)]
    losses, correct = (torch.cat(each) for each in zip(*found, strict=True))
    return Scores(losses, correct, samples.y.numel())


def _scored_together(module: nn.Module, part: Weights, samples: Samples, chunk: int) -> tuple[Tensor, Tensor]:
    """Summed losses and correct predictions of some members, `[m]` each."""
    loss_sum = torch.zeros(size(part), dtype=torch.float64, device=samples.x.device)
    correct = torch.zeros(size(part), dtype=torch.int64, device=samples.x.device)
    for x, y in zip(torch.split(samples.x, chunk), torch.split(samples.y, chunk), strict=True):
        logits = forward(module, part, x)
        loss_sum += losses(logits, y).flatten(1).sum(dim=1, dtype=torch.float64)
        correct += (logits.argmax(dim=-1) == y).flatten(1).sum(dim=1)
    return loss_sum, correct


def _vectorised(module: nn.Module, population: Mapping[str, Tensor], x: Tensor, axis_of_x: int | None) -> Tensor:
    def one(weights: Mapping[str, Tensor], batch: Tensor) -> Tensor:
        logits: Tensor = functional_call(module, dict(weights), (batch,))
        return logits

    logits: Tensor = vmap(one, in_dims=(0, axis_of_x))(population, x)
    return logits
