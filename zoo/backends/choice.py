"""Chooses how a group is trained: by rules whose figures were measured, or as the caller says."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from schemas.errors import UsageError
from zoo.backends.assignment import Assignment
from zoo.backends.backend import Backend
from zoo.backends.compiled import Compiled
from zoo.backends.lanes import LANES, Absent, Lanes, NotOffered, compiler, library, lower
from zoo.backends.sequential import Sequential
from zoo.backends.vectorised import Vectorised
from zoo.group import Group

AUTO = "auto"
BACKENDS: dict[str, Callable[[Assignment], Backend]] = {
    "compiled": Compiled,
    "lanes": Lanes,
    "sequential": Sequential,
    "vmap": Vectorised,
}

FEWEST_LANES = 0.25
"""Share of the lanes that must have a member, or what the kernel gains is lost on empty ones."""
MOST_PARAMETERS = 150_000
"""Parameters of a member from which on its layers are wide enough without lanes (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Choice:
    """A backend, and why it is this one."""

    name: str
    reason: str

    def make(self, assignment: Assignment) -> Backend:
        """Make the backend for a group."""
        return BACKENDS[self.name](assignment)


@dataclass(frozen=True)
class Conditions:
    """What a choice hangs on beside the group itself."""

    input_shape: tuple[int, ...]
    """Shape of one sample."""
    classes: int
    device: torch.device
    precision: torch.dtype | None = None


def check_backend(name: str) -> None:
    """Raise UsageError unless there is a backend of this name, or it is `auto`."""
    if name != AUTO and name not in BACKENDS:
        raise UsageError(f"backend {name!r} is unknown; choose one of: {', '.join([AUTO, *sorted(BACKENDS)])}")


def choose(group: Group, conditions: Conditions, wanted: str = AUTO) -> Choice:
    """Choose the backend for a group.

    The rules are measurements (docs/benchmarks.md) and no timing of the moment, so that the same group
    is trained the same way, to the same bits, on every machine of a kind.

    Raises:
        UsageError: The wanted backend is unknown, or not offered for such a group; the message says why.
    """
    check_backend(wanted)
    if wanted != AUTO:
        if why := refusal(wanted, group, conditions):
            raise UsageError(f"backend {wanted!r}: {why}; take 'auto' or another one")
        return Choice(wanted, "asked for")
    if conditions.device.type == "cpu":
        return _on_a_cpu(group, conditions)
    return Choice("vmap", "a stack is run by one call of each operation instead of one for each member")


def refusal(name: str, group: Group, conditions: Conditions) -> str | None:
    """Say why a backend is not offered for a group; None if it is."""
    if name == "compiled":
        return _no_compiling(group, conditions)
    return _no_lanes(group, conditions) if name == "lanes" else None


def _no_compiling(group: Group, conditions: Conditions) -> str | None:
    if group.architecture == "pinn":
        return "torch.compile does not go through the derivatives that a pinn's loss is made of"
    if group.dropout:
        return "torch.compile cannot do the wrapping 64-bit arithmetic that dropout takes its numbers from"
    if conditions.device.type == "cpu":
        try:
            compiler()
        except Absent as absent:
            return str(absent)
    return None


def _no_lanes(group: Group, conditions: Conditions) -> str | None:
    if conditions.device.type != "cpu":
        return f"lanes are a processor's, and this is trained on {conditions.device.type}"
    if conditions.precision is not None:
        return "lanes compute in the type of the weights and know no mixed precision"
    try:
        lower(group.skeleton(conditions.input_shape, conditions.classes), conditions.input_shape)
        library()
    except NotOffered as missing:
        return f"the lanes kernel does not know {missing}, which a {group.architecture} needs"
    except Absent as absent:
        return str(absent)
    return None


def _on_a_cpu(group: Group, conditions: Conditions) -> Choice:
    if group.architecture.startswith("resnet"):
        return Choice("sequential", "residual networks on a CPU gain nothing by being stacked")
    members = len(group.members)
    lanes = -(-members // LANES) * LANES
    module = group.skeleton(conditions.input_shape, conditions.classes)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    if members < FEWEST_LANES * lanes:
        why = f"{members} of {lanes} lanes are too few"
    elif parameters > MOST_PARAMETERS:
        why = f"{parameters:,} parameters need no lanes"
    elif refused := refusal("lanes", group, conditions):
        why = refused
    else:
        return Choice("lanes", f"{members} members of {parameters:,} parameters fill {lanes} lanes")
    return Choice("vmap", f"a stack needs one call for each operation; no lanes: {why}")
