"""Trains all members of a group at once, as one stacked population that stays on its device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.architectures import skeleton
from zoo.group import Group
from zoo.initialise import initialise
from zoo.optimise import optimiser
from zoo.population import Samples, Scores, Weights, evaluate, flatten, forward_each, losses, stack, unflatten
from zoo.randomness import generator
from zoo.schedule import share

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Splits:
    """The three parts of a dataset, and how many classes it has."""

    train: Samples
    validation: Samples
    test: Samples
    classes: int

    def to(self, device: torch.device, dtype: torch.dtype) -> "Splits":
        """Move to a device; `dtype` is that of the samples."""
        train, validation, test = (part.to(device, dtype) for part in (self.train, self.validation, self.test))
        return Splits(train, validation, test, self.classes)


@dataclass(frozen=True)
class Trained:
    """A trained group of N members."""

    checkpoints: dict[int, Weights]
    """Stacked weights on the CPU by epoch: 0 is the initialisation, the last one is always there."""
    curves: dict[tuple[str, str], Tensor]
    """By split and metric: `[N, epochs]`, float64, NaN where nothing was measured."""
    diverged_epoch: tuple[int | None, ...]
    """For each member the epoch in which its loss or weights stopped being finite."""


def train(
    group: Group,
    splits: Splits,
    *,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int], None] | None = None,
) -> Trained:
    """Train every member of a group from its own seeds, all of them in each step.

    Each member meets its own data order, labels, learning rate and weight decay, and is the model
    that plain PyTorch would give when it was trained alone, up to rounding. A member whose loss or
    weights stop being finite keeps its last finite weights from there on; the others do not notice.

    Metrics go by epochs, from 1: `train` is the mean over the samples as they were met (with their
    noisy labels), `validation` is measured after each epoch, `test` after the last. Loss is
    cross-entropy in nats, accuracy a share from 0 to 1.

    Args:
        group: The members and how they are trained.
        splits: The data; it is copied to the device once.
        device: Where the training happens.
        dtype: Floating point type of weights and samples.
        progress: Is called with the number of epochs done after each of them.
    """
    run = _Run(group, splits.to(device, dtype), device, dtype)
    wanted = {*group.checkpoint_epochs, group.epochs}
    checkpoints = {0: run.checkpoint()} if 0 in wanted else {}
    for epoch in range(1, group.epochs + 1):
        run.train_epoch(epoch)
        run.measure(epoch)
        if epoch in wanted:
            checkpoints[epoch] = run.checkpoint()
        if progress is not None:
            progress(epoch)
    diverged = tuple(epoch or None for epoch in run.diverged_epoch.tolist())
    return Trained(checkpoints, {name: curve.cpu() for name, curve in run.curves.items()}, diverged)


def initial_weights(group: Group, input_shape: tuple[int, int, int], classes: int) -> Weights:
    """Draw the initial weights of a group's members, stacked, each from its `init_seed` alone."""
    module = skeleton(group.architecture, input_shape, classes, group.width)
    seeds = [member.init_seed for member in group.members]
    return stack([initialise(module, torch.Generator().manual_seed(seed)) for seed in seeds])


def data_order(seed: int, epoch: int, samples: int) -> Tensor:
    """Order in which a member of this seed meets the training samples in an epoch: a permutation."""
    return torch.randperm(samples, generator=generator("data order", seed, epoch))


def noisy_labels(y: Tensor, classes: int, noise: float, seed: int) -> Tensor:
    """Replace a share of the labels by another class, drawn evenly from the other ones.

    Exactly `round(noise * n)` of the labels `[n]` are replaced; which ones hangs on the seed.
    """
    source = generator("label noise", seed)
    chosen = torch.randperm(len(y), generator=source)[: round(noise * len(y))]
    shift = torch.randint(1, max(classes, 2), chosen.shape, generator=source)
    noisy = y.clone()
    noisy[chosen] = (y[chosen] + shift) % classes
    return noisy


class _Run:
    """The state of a training: weights `[N, parameters]`, optimiser, curves, and who still trains."""

    def __init__(self, group: Group, splits: Splits, device: torch.device, dtype: torch.dtype) -> None:
        self.group, self.splits = group, splits
        shape = splits.train.x.shape
        self.input_shape = (shape[1], shape[2], shape[3])
        self.module: nn.Module = skeleton(group.architecture, self.input_shape, splits.classes, group.width)
        self.shapes = {name: parameter.shape for name, parameter in self.module.named_parameters()}
        start = initial_weights(group, self.input_shape, splits.classes)
        self.weights = flatten(start).to(device, dtype)
        self.labels = self._labels()
        self.optimiser = optimiser(group.optimizer, group.momentum)
        self.learning_rate = self._column([member.learning_rate for member in group.members])
        self.weight_decay = self._column([member.weight_decay for member in group.members])
        self.diverged_epoch = torch.zeros(len(group.members), dtype=torch.int64, device=device)
        self.curves: dict[tuple[str, str], Tensor] = {}

    def _labels(self) -> Tensor:
        """Training labels of each member, `[N, n]`."""
        y, classes = self.splits.train.y.cpu(), self.splits.classes
        labels = [noisy_labels(y, classes, member.label_noise, member.seed) for member in self.group.members]
        return torch.stack(labels).to(self.weights.device)

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=self.weights.dtype, device=self.weights.device).unsqueeze(1)

    def population(self) -> Weights:
        return unflatten(self.weights, self.shapes)

    def checkpoint(self) -> Weights:
        return {name: tensor.cpu().clone() for name, tensor in self.population().items()}

    def train_epoch(self, epoch: int) -> None:
        samples, batch_size = len(self.splits.train), self.group.batch_size
        orders = torch.stack([data_order(member.seed, epoch, samples) for member in self.group.members])
        batches = torch.split(orders.to(self.weights.device), batch_size, dim=1)
        loss_sum = torch.zeros(len(self.weights), dtype=torch.float64, device=self.weights.device)
        correct = torch.zeros_like(self.diverged_epoch)
        for position, batch in enumerate(batches):
            schedule_step = (epoch - 1) * len(batches) + position
            rate = share(self.group.schedule, schedule_step, self.group.epochs * len(batches))
            batch_loss, hits = self._step(batch, self.learning_rate * rate, epoch)
            loss_sum += batch_loss.double() * batch.shape[1]
            correct += hits
        self._record("train", epoch, Scores(loss_sum, correct, samples))

    def _step(self, batch: Tensor, learning_rate: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Take one step on samples `[N, b]`; gives each member's mean loss and number of hits."""
        population = {name: tensor.requires_grad_() for name, tensor in self.population().items()}
        y = self.labels.gather(1, batch)
        logits = forward_each(self.module, population, self.splits.train.x[batch])
        loss = losses(logits, y).mean(dim=1)
        gradients = torch.autograd.grad(loss.sum(), list(population.values()))
        gradient = flatten(dict(zip(population, gradients, strict=True)))
        self._move(self.optimiser.step(self.weights, gradient, learning_rate, self.weight_decay), loss, epoch)
        return loss.detach(), (logits.argmax(dim=2) == y).sum(dim=1)

    def _move(self, weights: Tensor, loss: Tensor, epoch: int) -> None:
        """Take over the next weights of the members that are still finite, and mark the others."""
        finite = loss.detach().isfinite() & weights.isfinite().all(dim=1)
        training = self.diverged_epoch == 0
        self.diverged_epoch = torch.where(training & ~finite, epoch, self.diverged_epoch)
        self.weights = torch.where((training & finite).unsqueeze(1), weights, self.weights)

    def measure(self, epoch: int) -> None:
        population = self.population()
        self._record("validation", epoch, evaluate(self.module, population, self.splits.validation))
        if epoch == self.group.epochs:
            self._record("test", epoch, evaluate(self.module, population, self.splits.test))

    def _record(self, split: str, epoch: int, scores: Scores) -> None:
        for metric, values in (("loss", scores.loss), ("accuracy", scores.accuracy)):
            empty = torch.full((len(values), self.group.epochs), torch.nan, dtype=torch.float64)
            curve = self.curves.setdefault((split, metric), empty.to(values.device))
            curve[:, epoch - 1] = values.where(self.diverged_epoch == 0, torch.nan)
