"""Trains all members of a group at once, as one stacked population that stays on its device."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.augmentation import augment
from zoo.group import Group
from zoo.initialise import initialise
from zoo.objective import objective
from zoo.optimise import optimiser
from zoo.population import Samples, Weights, flatten, stack, unflatten
from zoo.randomness import generator, key
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
    start: Weights | None = None,
    progress: Callable[[int], None] | None = None,
) -> Trained:
    """Train every member of a group from its own seeds, all of them in each step.

    Each member meets its own data order, labels, learning rate and weight decay, and is the model
    that plain PyTorch would give when it was trained alone, up to rounding. A member whose loss or
    weights stop being finite keeps its last finite weights from there on; the others do not notice.

    What normalising layers learn of the data is trained state as well: it is part of the weights.

    Metrics go by epochs, from 1: `train` is the mean over the samples as they were met (with their
    noisy labels, augmented), `validation` is measured after each epoch, `test` after the last. What
    they are says `zoo.objective`: loss (nats) and accuracy (0 to 1) of a classification, for one.

    Args:
        group: The members and how they are trained.
        splits: The data; it is copied to the device once.
        device: Where the training happens.
        dtype: Floating point type of weights and samples.
        start: Stacked weights to start from; without it `initial_weights`.
        progress: Is called with the number of epochs done after each of them.
    """
    run = _Run(group, splits, start, device, dtype)
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


def initial_weights(group: Group, input_shape: tuple[int, ...], classes: int) -> Weights:
    """Draw the initial weights of a group's members, stacked, each from its `init_seed` and initialisation alone."""
    module = group.skeleton(input_shape, classes)
    draws = [(torch.Generator().manual_seed(member.init_seed), member.initialisation) for member in group.members]
    return stack([initialise(module, source, scheme) for source, scheme in draws])


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


def used_samples(train: Samples, fraction: float) -> Samples:
    """Take a share of the training samples, the same for every member; a smaller share is part of a larger one."""
    if fraction == 1:
        return train
    chosen = torch.randperm(len(train), generator=generator("data fraction"))[: max(1, round(fraction * len(train)))]
    return Samples(train.x[chosen], train.y[chosen])


class _Run:
    """The state of a training: weights `[N, parameters]`, buffers, optimiser, curves, and who still trains."""

    def __init__(
        self, group: Group, splits: Splits, start: Weights | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        used = used_samples(splits.train, group.data_fraction)
        self.group, self.device = group, device
        self.splits = replace(splits, train=used).to(device, dtype)
        input_shape = tuple(splits.train.x.shape[1:])
        self.module = group.skeleton(input_shape, splits.classes)
        self.learner = group.skeleton(input_shape, splits.classes).train()
        self.shapes = {name: parameter.shape for name, parameter in self.module.named_parameters()}
        self._take(start or initial_weights(group, input_shape, splits.classes), dtype)
        self.objective = objective(group.architecture, group.members)
        self.labels = self._labels(used.y)
        self.optimiser = optimiser(group.optimizer, group.momentum)
        self.learning_rate = self._column([member.learning_rate for member in group.members])
        self.weight_decay = self._column([member.weight_decay for member in group.members])
        self.diverged_epoch = torch.zeros(len(group.members), dtype=torch.int64, device=device)
        self.curves: dict[tuple[str, str], Tensor] = {}

    def _take(self, start: Weights, dtype: torch.dtype) -> None:
        """Take over weights to start from: parameters as one matrix, the buffers beside it."""
        self.weights = flatten({name: start[name] for name in self.shapes}).to(self.device, dtype)
        held = {name: tensor.to(self.device) for name, tensor in start.items() if name not in self.shapes}
        self.buffers = {name: t.to(dtype) if t.is_floating_point() else t for name, t in held.items()}
        self.dropouts = [name for name, _ in self.module.named_buffers() if name not in start]

    def _labels(self, y: Tensor) -> Tensor | None:
        """Training labels of each member, `[N, n, ...]`; None where all have those of the data."""
        noises = [(member.label_noise, member.seed) for member in self.group.members]
        if not any(noise for noise, _ in noises):
            return None
        noisy = [noisy_labels(y.flatten(), self.splits.classes, noise, seed).view(y.shape) for noise, seed in noises]
        return torch.stack(noisy).to(self.device)

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=self.weights.dtype, device=self.device).unsqueeze(1)

    def _keys(self, purpose: str, step: int) -> Tensor:
        """A number for each member, `[N]`, on which hangs what is random in a step."""
        keys = [key(purpose, member.seed, step) for member in self.group.members]
        return torch.tensor(keys, dtype=torch.int64, device=self.device)

    def population(self) -> Weights:
        return unflatten(self.weights, self.shapes) | self.buffers

    def checkpoint(self) -> Weights:
        return {name: tensor.cpu().clone() for name, tensor in self.population().items()}

    def train_epoch(self, epoch: int) -> None:
        samples = len(self.splits.train)
        orders = torch.stack([data_order(member.seed, epoch, samples) for member in self.group.members])
        batches = torch.split(orders.to(self.device), self.group.batch_size, dim=1)
        loss_sum = torch.zeros(len(self.weights), dtype=torch.float64, device=self.device)
        score_sum = torch.zeros_like(loss_sum)
        for position, batch in enumerate(batches):
            step = (epoch - 1) * len(batches) + position
            rate = share(self.group.schedule, step, self.group.epochs * len(batches))
            loss, score = self._step(batch, self.learning_rate * rate, step, epoch)
            loss_sum += loss.double() * batch.shape[1]
            score_sum += score
        self._record("train", epoch, loss_sum / samples, score_sum / samples)

    def _step(self, batch: Tensor, learning_rate: Tensor, step: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Take one step on samples `[N, b]`; gives each member's mean loss and summed second metric."""
        parameters = {name: t.requires_grad_() for name, t in unflatten(self.weights, self.shapes).items()}
        buffers = {name: tensor.clone() for name, tensor in self.buffers.items()}
        keys = {name: self._keys(name, step) for name in self.dropouts}
        x, y = self._batch(batch, step)
        loss, score = self.objective.step(self.learner, parameters | buffers | keys, x, y)
        gradients = torch.autograd.grad(loss.sum(), list(parameters.values()))
        gradient = flatten(dict(zip(parameters, gradients, strict=True)))
        weights = self.optimiser.step(self.weights, gradient, learning_rate, self.weight_decay)
        self._move(weights, buffers, loss, epoch)
        return loss.detach(), score

    def _batch(self, batch: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Samples and labels of each member's own batch, augmented if the recipe says so."""
        x = self.splits.train.x[batch]
        if self.group.augmentation:
            x = augment(x, self.group.augmentation, self._keys("augmentation", step))
        if self.labels is None:
            return x, self.splits.train.y[batch]
        return x, self.labels[torch.arange(len(batch), device=self.device).unsqueeze(1), batch]

    def _move(self, weights: Tensor, buffers: Weights, loss: Tensor, epoch: int) -> None:
        """Take over the next state of the members that are still finite, and mark the others."""
        finite = loss.detach().isfinite() & weights.isfinite().all(dim=1)
        for tensor in buffers.values():
            finite &= tensor.flatten(1).isfinite().all(dim=1) if tensor.ndim > 1 else tensor.isfinite()
        training = self.diverged_epoch == 0
        self.diverged_epoch = torch.where(training & ~finite, epoch, self.diverged_epoch)
        moving = training & finite
        self.weights = torch.where(moving.unsqueeze(1), weights, self.weights)
        for name, tensor in buffers.items():
            rows = moving.view(-1, *[1] * (tensor.ndim - 1))
            self.buffers[name] = torch.where(rows, tensor.detach(), self.buffers[name])

    def measure(self, epoch: int) -> None:
        population = self.population()
        self._record("validation", epoch, *self.objective.measure(self.module, population, self.splits.validation))
        if epoch == self.group.epochs:
            self._record("test", epoch, *self.objective.measure(self.module, population, self.splits.test))

    def _record(self, split: str, epoch: int, loss: Tensor, score: Tensor) -> None:
        for metric, values in (("loss", loss), (self.objective.metric, score)):
            empty = torch.full((len(values), self.group.epochs), torch.nan, dtype=torch.float64)
            curve = self.curves.setdefault((split, metric), empty.to(values.device))
            curve[:, epoch - 1] = values.where(self.diverged_epoch == 0, torch.nan)
