"""Finds out how long a step of some groups takes here, by taking a few."""

import time
from typing import Literal

import torch
from pydantic import BaseModel

from zoo.backends import AUTO, Conditions, choose
from zoo.group import Group
from zoo.precision import precision_of
from zoo.task import once_loaded
from zoo.train import Splits, Training, data_order

LONG_ENOUGH = 0.15
"""Seconds of steps that give a steady mean."""
MOST_STEPS = 50


class Trial(BaseModel):
    """Groups to take a few steps with, as a job of an engine."""

    kind: Literal["trial"] = "trial"
    name: str = "trial"
    groups: list[Group]
    dataset: str
    split_seed: int
    device: str
    backend: str = AUTO
    precision: str | None = None


def perform(trial: Trial) -> list[float]:
    """Take a few steps with each group after one that is not counted; gives seconds a step.

    Raises:
        UsageError: The backend is not for such a group.
        OutsideError: Not even one member fits in memory.
    """
    splits = once_loaded(trial.dataset, trial.split_seed).splits
    return [_seconds_a_step(trial, group, splits) for group in trial.groups]


def _seconds_a_step(trial: Trial, group: Group, splits: Splits) -> float:
    device = torch.device(trial.device)
    precision = precision_of(trial.precision)
    conditions = Conditions(tuple(splits.train.x.shape[1:]), splits.classes, device, precision)
    choice = choose(group, conditions, trial.backend)
    training = Training(group, splits, choice, device=device, precision=precision)
    samples = len(training.splits.train)
    orders = [data_order(member.seed, 1, samples)[: group.batch_size] for member in group.members]
    batch = torch.stack(orders).to(device)
    training.backend.step(batch, 1.0, 0)
    _wait_for(device)
    begun = time.perf_counter()
    for step in range(1, MOST_STEPS + 1):
        training.backend.step(batch, 1.0, step)
        _wait_for(device)
        seconds = time.perf_counter() - begun
        if seconds > LONG_ENOUGH:
            break
    return seconds / step


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
