"""Trains a stitchable network: one stitch a step, taught by the labels and by the largest anchor."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from torch.nn.modules.batchnorm import _BatchNorm

from learners.stitching.statistics import without_singles
from learners.stitching.stitchable import StitchableNetwork
from schemas.errors import UsageError
from zoo.population import Samples
from zoo.randomness import generator
from zoo.schedule import share
from zoo.train import data_order

SAMPLING = ("uniform", "cost")
COST_GROUPS = 10


@dataclass(frozen=True)
class StitchTraining:
    """How a stitchable network is trained: AdamW, its rate falling along a cosine."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - how recipes are read: a field of no such name is a mistake

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    distillation: float = 0.5
    """Weight of the largest anchor's outputs in the loss, from 0 (labels alone) to 1."""
    temperature: float = 2.0
    """By which both sides' outputs are divided when they are compared."""
    sampling: str = "uniform"
    """uniform: each stitch as often. cost: each of ten ranges of FLOPs as often (as in the second version)."""
    train_anchors: bool = True
    """Whether the anchors' weights are trained, or the joints' alone."""
    seed: int = 0

    def check(self) -> None:
        """Raise UsageError if a value cannot be."""
        if self.sampling not in SAMPLING:
            raise UsageError(f"sampling = {self.sampling!r}: expected one of {', '.join(SAMPLING)}")
        limits = {
            "epochs": (self.epochs, 0, 100_000),
            "batch_size": (self.batch_size, 1, 1_000_000),
            "learning_rate": (self.learning_rate, 1e-12, 1e3),
            "weight_decay": (self.weight_decay, 0, 1e3),
            "distillation": (self.distillation, 0, 1),
            "temperature": (self.temperature, 1e-3, 1e3),
        }
        for name, (value, least, most) in limits.items():
            if not least <= value <= most:
                raise UsageError(f"{name} = {value}: expected a number from {least:g} to {most:g}")


class TrainingDiverged(UsageError):
    """A loss, a weight or a statistic is no finite number any more; training on would not bring it back."""


@dataclass(frozen=True)
class Progressed:
    """How far a training has come: everything that going on takes."""

    epoch: int
    """Epochs done."""
    state: Mapping[str, Tensor]
    """The network's weights."""
    optimiser: Mapping[str, Tensor]
    """What the optimiser remembers, by parameter and kind."""


def train_stitchable(
    network: StitchableNetwork,
    samples: Samples,
    settings: StitchTraining,
    *,
    start: Progressed | None = None,
    keep: Callable[[Progressed], None] | None = None,
) -> None:
    """Train in place; each step draws one stitch, which learns from a batch.

    loss = (1 - d) cross-entropy + d T^2 KL(teacher / T || stitch / T)

    Joints that have an update of low rank are moved by it (and their bias) alone, and have taken it in at the end.

    The teacher is the last anchor as it is before the training. Which stitch and which samples a step takes hang
    on the seed and the step alone, so that a training that goes on gives what one in a piece would.

    Args:
        network: The network; FLOPs must be counted for `sampling = "cost"`.
        samples: What to train on.
        settings: How.
        start: Where to go on; the network's weights are taken from it.
        keep: Is called after each epoch that ends with finite weights.

    Raises:
        UsageError: A setting cannot be.
        TrainingDiverged: A loss or a weight is not finite; the message names the learning rate.
    """
    settings.check()
    _check_batches(network, samples, settings)
    teacher = deepcopy(network.anchors[-1]).eval().requires_grad_(False)
    groups = _groups(network, settings)
    network.train()
    network.anchors.requires_grad_(settings.train_anchors).train(settings.train_anchors)
    network.free_joints(settings.seed)
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    optimiser = torch.optim.AdamW(trained.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    if start is not None:
        network.load_state_dict(dict(start.state))
        _restore(optimiser, trained, start.optimiser)
    steps = len(_batches(torch.arange(len(samples)), settings))
    for epoch in range((start.epoch if start else 0) + 1, settings.epochs + 1):
        order = data_order(settings.seed, epoch, len(samples)).to(samples.y.device)
        total = torch.zeros((), dtype=torch.float64, device=samples.y.device)
        for number, chosen in enumerate(_batches(order, settings)):
            step = (epoch - 1) * steps + number
            optimiser.param_groups[0]["lr"] = settings.learning_rate * share("cosine", step, settings.epochs * steps)
            path = network.at(_drawn(groups, settings.seed, step))
            optimiser.zero_grad(set_to_none=True)
            loss = _loss(path, teacher, samples.x[chosen], samples.y[chosen], settings)
            torch.autograd.backward(loss)
            optimiser.step()
            total += loss.detach()
        check_trained(network, settings, f"in epoch {epoch}", [total])
        if keep is not None:
            state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
            keep(Progressed(epoch, state, _remembered(optimiser, trained)))
    network.fold_joints()
    network.eval().requires_grad_(False)


def check_trained(network: StitchableNetwork, settings: StitchTraining, when: str, values: Iterable[Tensor]) -> None:
    """Raise TrainingDiverged unless weights and statistics of a network, and these values, are finite numbers."""
    own = (tensor for named in network.statistics.values() for tensor in named.values())
    if not all(bool(tensor.isfinite().all()) for tensor in chain(values, network.state_dict().values(), own)):
        raise TrainingDiverged(
            f"the training of the stitchable network diverged {when}: its loss, weights or outputs are not finite; "
            f"nothing is stored; lower learning_rate = {settings.learning_rate:g} under [training] of the recipe "
            f"(weight_decay = {settings.weight_decay:g})"
        )


def _batches(order: Tensor, settings: StitchTraining) -> list[Tensor]:
    """Batches, of which none has but one sample where there are more: it would have no variance."""
    batches = torch.split(order, settings.batch_size)
    return without_singles(batches) if settings.batch_size > 1 else list(batches)


def _check_batches(network: StitchableNetwork, samples: Samples, settings: StitchTraining) -> None:
    normalising = any(isinstance(layer, _BatchNorm) for layer in network.modules())
    if normalising and settings.train_anchors and min(settings.batch_size, len(samples)) < 2:
        raise UsageError(f"batch_size = {settings.batch_size}: batch normalisation takes at least 2 samples at once")


def _loss(path: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, settings: StitchTraining) -> Tensor:
    logits: Tensor = path(x).flatten(0, -2)
    loss = cross_entropy(logits, y.flatten())
    if not settings.distillation:
        return loss
    with torch.no_grad():
        taught = softmax(teacher(x).flatten(0, -2) / settings.temperature, dim=-1)
    apart = kl_div(log_softmax(logits / settings.temperature, dim=-1), taught, reduction="batchmean")
    return (1 - settings.distillation) * loss + settings.distillation * settings.temperature**2 * apart


def _groups(network: StitchableNetwork, settings: StitchTraining) -> list[list[int]]:
    """Stitches that are drawn together: all of which something is trained, or those of each range of FLOPs."""
    paths = enumerate(network.stitches)
    everything = [index for index, path in paths if path.hops or settings.train_anchors]
    if settings.sampling == "uniform":
        return [everything]
    if not network.flops:
        raise UsageError('sampling = "cost" needs FLOPs; count them with learners.stitching.cost.count_flops')
    least, most = min(network.flops), max(network.flops)
    ranges: dict[int, list[int]] = {}
    for index in everything:
        share_of_range = (network.flops[index] - least) / max(1, most - least)
        ranges.setdefault(min(COST_GROUPS - 1, int(share_of_range * COST_GROUPS)), []).append(index)
    return list(ranges.values())


def _drawn(groups: list[list[int]], seed: int, step: int) -> int:
    source = generator("stitch of a step", seed, step)
    group = groups[int(torch.randint(len(groups), (), generator=source))]
    return group[int(torch.randint(len(group), (), generator=source))]


def _remembered(optimiser: torch.optim.Optimizer, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, parameter in trained.items():
        for key, value in optimiser.state.get(parameter, {}).items():
            found[f"{name}/{key}"] = value.detach().clone()
    return found


def _restore(optimiser: torch.optim.Optimizer, trained: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    for name, tensor in found.items():
        parameter, _, key = name.rpartition("/")
        optimiser.state[trained[parameter]][key] = tensor.clone()
