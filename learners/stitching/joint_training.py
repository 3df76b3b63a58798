"""Trains the joints of many pairs at once, while the networks on both sides stay as they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learners.stitching.joints import Alike, Joints
from schemas.errors import UsageError
from zoo.population import Samples, losses
from zoo.schedule import share
from zoo.train import data_order


@dataclass(frozen=True)
class JointTraining:
    """How joints are trained: Adam on the cross-entropy, its rate falling along a cosine."""

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 1e-3
    seed: int = 0
    """Order of the samples hangs on it."""


def train_joints(
    joints: Joints, samples: Samples, settings: JointTraining, progress: Callable[[int], None] | None = None
) -> Joints:
    """Train every joint for the classes of the samples, from where it is.

    What is trained for one pair does not hang on which others are trained beside it: the loss is summed over
    pairs, and Adam's steps of one joint know nothing of the others'.

    Args:
        joints: Fitted joints; they stay as they are.
        samples: What to train on.
        settings: How.
        progress: Is called with the number of epochs done after each of them.

    Raises:
        UsageError: A joint's weights are not finite in the end; the message names it and the learning rate.

    Source:
        Bansal, Nakkiran and Barak, "Revisiting Model Stitching to Compare Neural Representations", 2021.
    """
    table = {key: [_copied(alike) for alike in several] for key, several in joints.table.items()}
    trained = replace(joints, table=table)
    parameters = [tensor for several in table.values() for alike in several for tensor in (alike.weight, alike.bias)]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate)
    steps = settings.epochs * -(-len(samples) // settings.batch_size)
    step = 0
    for epoch in range(1, settings.epochs + 1):
        order = data_order(settings.seed, epoch, len(samples)).to(samples.y.device)
        for chosen in torch.split(order, settings.batch_size):
            optimiser.param_groups[0]["lr"] = settings.learning_rate * share("cosine", step, steps)
            optimiser.zero_grad()
            _accumulate(trained, samples.x[chosen], samples.y[chosen])
            optimiser.step()
            step += 1
        if progress is not None:
            progress(epoch)
    _check_finite(trained, settings)
    return replace(joints, table={key: [_detached(alike) for alike in several] for key, several in table.items()})


def _check_finite(joints: Joints, settings: JointTraining) -> None:
    for (_, end), several in joints.table.items():
        for alike in several:
            for (front, _), weight, bias in zip(alike.fronts, alike.weight, alike.bias, strict=True):
                if not bool(weight.isfinite().all() & bias.isfinite().all()):
                    names = f"{joints.networks[front].name} to {joints.networks[end].name}"
                    raise UsageError(
                        f"the training of a joint from {names} diverged: its weights are not finite; lower "
                        f"learning_rate = {settings.learning_rate:g}"
                    )


def _copied(alike: Alike) -> Alike:
    weight, bias = (tensor.clone().requires_grad_() for tensor in (alike.weight, alike.bias))
    return replace(alike, weight=weight, bias=bias)


def _detached(alike: Alike) -> Alike:
    return replace(alike, weight=alike.weight.detach(), bias=alike.bias.detach())


def _accumulate(joints: Joints, x: Tensor, y: Tensor) -> None:
    """Add the gradient of one batch to every joint; ends one after the other, so that memory stays that of one."""
    with torch.no_grad():
        activations = {front: joints.networks[front].activations(x) for front in joints.fronts}
    for (number, end), several in joints.table.items():
        cut = joints.sites[number].cut
        values = torch.cat([alike.join(activations, joints.forms[end][cut]) for alike in several])
        logits = joints.networks[end].run(values, start=cut)
        each = logits.reshape(-1, *y.shape, logits.shape[-1])
        loss = losses(each, y).flatten(1).mean(dim=1).sum()
        torch.autograd.backward(loss)
