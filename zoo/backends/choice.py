"""Chooses how a group is trained: by rules whose figures were measured, or as the caller says."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from schemas.errors import UsageError
from zoo.backends.assignment import Assignment
from zoo.backends.backend import Backend
from zoo.backends.sequential import Sequential
from zoo.backends.vectorised import Vectorised
from zoo.group import Group

AUTO = "auto"
BACKENDS: dict[str, Callable[[Assignment], Backend]] = {"sequential": Sequential, "vmap": Vectorised}


@dataclass(frozen=True)
class Choice:
    """A backend, and why it is this one."""

    name: str
    reason: str

    def make(self, assignment: Assignment) -> Backend:
        """Make the backend for a group."""
        return BACKENDS[self.name](assignment)


def check_backend(name: str) -> None:
    """Raise UsageError unless there is a backend of this name, or it is `auto`."""
    if name != AUTO and name not in BACKENDS:
        raise UsageError(f"backend {name!r} is unknown; choose one of: {', '.join([AUTO, *sorted(BACKENDS)])}")


def choose(group: Group, device: torch.device, wanted: str = AUTO) -> Choice:
    """Choose the backend for a group on a device.

    Raises:
        UsageError: The wanted backend is unknown.
    """
    check_backend(wanted)
    if wanted != AUTO:
        return Choice(wanted, "asked for")
    if device.type == "cpu" and group.architecture.startswith("resnet"):
        return Choice("sequential", "a residual network on a CPU gains nothing by being stacked")
    return Choice("vmap", "a stack is run by one call of each operation instead of one for each member")
