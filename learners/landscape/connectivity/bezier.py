"""Quadratic Bezier curves of low loss between the models of many pairs, trained at once."""

from collections.abc import Mapping
from math import cos, pi

import torch
from torch import Tensor, nn

from learners.landscape.connectivity.path import Path, batch_statistics
from zoo.population import Samples, Weights, forward, losses, size
from zoo.randomness import generator

EPOCHS = 20
BATCH = 128
LEARNING_RATE = 0.01


def bezier(first: Mapping[str, Tensor], bend: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Path:
    """(1 - t)^2 first + 2 t (1 - t) bend + t^2 second, parameters `[pairs, ...]`."""

    def at(place: float) -> Weights:
        return _points(first, bend, second, torch.tensor(place))

    return at


def train_bend(
    module: nn.Module,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    samples: Samples,
    epochs: int = EPOCHS,
    batch_size: int = BATCH,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
) -> Weights:
    """Train the bend of each pair's curve; the ends stay.

    The mean loss along the curve is made small: each step draws a batch, and a place for each pair. The bend starts in
    the middle of the line. Adam, the learning rate falling to zero as half a cosine. Pairs do not notice each other.

    Args:
        module: How to compute; a skeleton in evaluation mode.
        first: Parameters of each pair's first model, `[pairs, ...]`.
        second: Parameters of each pair's second model.
        buffers: Other tensors of the networks; layers of batch normalisation use each batch's statistics.
        samples: Training samples.
        epochs: Passes over them.
        batch_size: Samples of a step.
        learning_rate: At the beginning.
        seed: Of batches and places.

    Source:
        Garipov et al. 2018, "Loss surfaces, mode connectivity, and fast ensembling of DNNs".
    """
    learner, source = batch_statistics(module), generator("bezier", seed)
    bend = {name: ((tensor + second[name]) / 2).requires_grad_() for name, tensor in first.items()}
    optimiser = torch.optim.Adam(list(bend.values()), lr=learning_rate)
    steps = epochs * -(-len(samples) // batch_size)
    for step in range(steps):
        if step % (steps // epochs) == 0:
            order = torch.randperm(len(samples), generator=source).to(samples.x.device)
        chosen = order[step % (steps // epochs) * batch_size :][:batch_size]
        places = torch.rand(size(bend), generator=source).to(samples.x)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * (1 + cos(pi * step / steps)) / 2
        _step(
            learner,
            optimiser,
            _points(first, bend, second, places),
            buffers,
            Samples(samples.x[chosen], samples.y[chosen]),
        )
    return {name: tensor.detach() for name, tensor in bend.items()}


def _step(
    learner: nn.Module,
    optimiser: torch.optim.Optimizer,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    batch: Samples,
) -> None:
    statistics = {name: tensor.clone() for name, tensor in buffers.items()}
    logits = forward(learner, {**parameters, **statistics}, batch.x)
    optimiser.zero_grad()
    losses(logits, batch.y).flatten(1).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call] # torch's
    optimiser.step()


def _points(
    first: Mapping[str, Tensor], bend: Mapping[str, Tensor], second: Mapping[str, Tensor], places: Tensor
) -> Weights:
    """The curves' parameters at one place, or at a place for each pair."""

    def mixed(name: str) -> Tensor:
        t = places.to(bend[name]).view(-1, *[1] * (bend[name].ndim - 1))
        return (1 - t) ** 2 * first[name] + 2 * t * (1 - t) * bend[name] + t**2 * second[name]

    return {name: mixed(name) for name in first}
