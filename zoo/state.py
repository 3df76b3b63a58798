"""The state of a training on its way: all that its further course hangs on, to be kept and to be gone on from."""

import torch
from torch import Tensor

from zoo.train import Training

State = dict[str, Tensor]
"""Tensors by name, on the CPU."""


def state_of(training: Training) -> State:
    """Copy what the backend goes on from (weights, optimiser), curves, who has diverged, epochs and steps done.

    There is no generator among it: what is random hangs on seeds, epoch and step (`zoo.randomness`).
    """
    held = {
        "epoch": torch.tensor(training.epoch),
        "position": torch.tensor(training.position),
        "loss_sum": training.loss_sum,
        "score_sum": training.score_sum,
        "diverged_epoch": training.diverged_epoch,
        **{f"backend/{name}": tensor for name, tensor in training.backend.state().items()},
        **{f"curves/{split}/{metric}": curve for (split, metric), curve in training.curves.items()},
    }
    return {name: tensor.detach().cpu().clone() for name, tensor in held.items()}


def restore(training: Training, state: State) -> None:
    """Put a training where `state_of` found one of the same group, data and dtype."""
    training.epoch, training.position = int(state["epoch"]), int(state["position"])
    training.loss_sum = state["loss_sum"].to(training.device)
    training.score_sum = state["score_sum"].to(training.device)
    training.diverged_epoch = state["diverged_epoch"].to(training.device)
    training.backend.restore(_below("backend/", state))
    for name, curve in _below("curves/", state).items():
        split, metric = name.split("/")
        training.curves[split, metric] = curve.to(training.device)


def _below(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
