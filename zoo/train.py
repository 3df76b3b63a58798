"""Trains all members of a group at once, as one stacked population that stays on its device."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zoo.backends import AUTO, CAUSES, Assignment, Choice, Conditions, choose
from zoo.group import Group
from zoo.initialise import initialise
from zoo.population import Samples, Weights, stack
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
    diverged_reason: tuple[str | None, ...]
    """For each member what it was that stopped being finite."""
    choice: Choice
    """The backend that trained them, and why."""


def train(
    group: Group,
    splits: Splits,
    *,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    start: Weights | None = None,
    progress: Callable[[int], None] | None = None,
    backend: str = AUTO,
    precision: torch.dtype | None = None,
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
        backend: How the members are trained, a name in `zoo.backends.BACKENDS`; `auto` is the fastest.
        precision: A smaller type for forward and backward passes, such as bfloat16; weights stay in `dtype`.

    Raises:
        UsageError: The backend is unknown or not offered for such a group.
        OutsideError: Not even one member fits in the device's memory.
    """
    choice = choose(group, Conditions(tuple(splits.train.x.shape[1:]), splits.classes, device, precision), backend)
    training = Training(group, splits, choice, device=device, dtype=dtype, start=start, precision=precision)
    wanted = {*group.checkpoint_epochs, group.epochs}
    checkpoints = {0: training.checkpoint()} if 0 in wanted else {}
    while training.epoch < group.epochs:
        training.next_epoch()
        if training.epoch in wanted:
            checkpoints[training.epoch] = training.checkpoint()
        if progress is not None:
            progress(training.epoch)
    return Trained(checkpoints, *training.findings(), choice)


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


Curves = dict[tuple[str, str], Tensor]


class Training:
    """A group of N members on its way, epoch by epoch.

    What is random hangs on seeds, epoch and step alone, so that a training that goes on from a state
    that was kept (`zoo.state.restore`) gives bit for bit what it would have given undisturbed.

    Args:
        group: The members and how they are trained.
        splits: The data; it is copied to the device once.
        choice: The backend that trains them.
        device: Where the training happens.
        dtype: Floating point type of weights and samples.
        start: Stacked weights to start from; without it `initial_weights`.
        precision: A smaller type for forward and backward passes.
    """

    epoch = 0
    """Epochs done."""
    position = 0
    """Steps done of the epoch after them."""

    def __init__(
        self,
        group: Group,
        splits: Splits,
        choice: Choice,
        *,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
        start: Weights | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        used = used_samples(splits.train, group.data_fraction)
        self.group, self.device = group, device
        self.splits = replace(splits, train=used).to(device, dtype)
        shape = tuple(splits.train.x.shape[1:])
        self.backend = choice.make(
            Assignment(
                group=group,
                module=group.skeleton(shape, splits.classes),
                learner=group.skeleton(shape, splits.classes).train(),
                train=self.splits.train,
                labels=self._labels(used.y),
                start=start or initial_weights(group, shape, splits.classes),
                device=device,
                dtype=dtype,
                precision=precision,
            )
        )
        self.diverged_epoch = torch.zeros(len(group.members), dtype=torch.int64, device=device)
        self.loss_sum, self.score_sum = torch.zeros(2, len(group.members), dtype=torch.float64, device=device)
        self.curves: Curves = {}

    def next_epoch(self, after_step: Callable[[], None] | None = None) -> None:
        """Train to the end of the epoch, from where it was left, and measure; calls `after_step` after each step."""
        self._train(self.epoch + 1, after_step)
        self._measure(self.epoch + 1)
        self.epoch, self.position = self.epoch + 1, 0
        self.loss_sum, self.score_sum = torch.zeros_like(self.loss_sum), torch.zeros_like(self.score_sum)

    def findings(self) -> tuple[Curves, tuple[int | None, ...], tuple[str | None, ...]]:
        """Curves so far, and for each member the epoch in which it diverged and what was not finite."""
        curves = {name: curve.cpu() for name, curve in self.curves.items()}
        reasons = tuple(CAUSES[cause] for cause in self.backend.cause.tolist())
        return curves, tuple(epoch or None for epoch in self.diverged_epoch.tolist()), reasons

    def _labels(self, y: Tensor) -> Tensor | None:
        """Training labels of each member, `[N, n, ...]`; None where all have those of the data."""
        noises = [(member.label_noise, member.seed) for member in self.group.members]
        if not any(noise for noise, _ in noises):
            return None
        noisy = [noisy_labels(y.flatten(), self.splits.classes, noise, seed).view(y.shape) for noise, seed in noises]
        return torch.stack(noisy).to(self.device)

    def checkpoint(self) -> Weights:
        """Copy the members' weights to the CPU, stacked."""
        return {name: tensor.cpu().clone() for name, tensor in self.backend.population().items()}

    def _train(self, epoch: int, after_step: Callable[[], None] | None) -> None:
        samples = len(self.splits.train)
        orders = torch.stack([data_order(member.seed, epoch, samples) for member in self.group.members])
        batches = torch.split(orders.to(self.device), self.group.batch_size, dim=1)
        for batch in batches[self.position :]:
            step = (epoch - 1) * len(batches) + self.position
            loss, score = self.backend.step(
                batch, share(self.group.schedule, step, self.group.epochs * len(batches)), step
            )
            self.loss_sum += loss.double() * batch.shape[1]
            self.score_sum += score
            self.position += 1
            if after_step is not None:
                after_step()
        fallen = (self.diverged_epoch == 0) & (self.backend.cause != 0)
        self.diverged_epoch = torch.where(fallen, epoch, self.diverged_epoch)
        self._record("train", epoch, self.loss_sum / samples, self.score_sum / samples)

    def _measure(self, epoch: int) -> None:
        self._record("validation", epoch, *self.backend.measure(self.splits.validation))
        if epoch == self.group.epochs:
            self._record("test", epoch, *self.backend.measure(self.splits.test))

    def _record(self, split: str, epoch: int, loss: Tensor, score: Tensor) -> None:
        for metric, values in (("loss", loss), (self.backend.metric, score)):
            empty = torch.full((len(values), self.group.epochs), torch.nan, dtype=torch.float64)
            curve = self.curves.setdefault((split, metric), empty.to(values.device))
            curve[:, epoch - 1] = values.where(self.diverged_epoch == 0, torch.nan)
