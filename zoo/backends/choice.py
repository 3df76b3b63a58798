"""Chooses how a group is trained: by rules whose figures were measured, or as the caller says."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from schemas.errors import UsageError
from zoo.architectures.attention import Attention
from zoo.arithmetic import forward_flop, passes
from zoo.backends.assignment import Assignment
from zoo.backends.backend import Backend
from zoo.backends.compiled import Compiled
from zoo.backends.lanes import LANES, Absent, Lanes, NotOffered, compiler, library, lower
from zoo.backends.sequential import Sequential
from zoo.backends.vectorised import Vectorised
from zoo.group import Group

AUTO = "auto"
MEGA = 1e6
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
PRODUCTS = ("mlp", "pinn")
"""Architectures of nothing but matrix products, which cost no more stacked than one after the other."""
LIGHT = 3e6
"""Operations a layer of a member's step, up to which the calls that a stack saves are worth more than its slower
convolutions and attention cost (docs/benchmarks.md)."""


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
    if any(isinstance(layer, Attention) and layer.dimensions == 1 for layer in _module(group, conditions).modules()):
        return "what torch.compile makes of attention whose heads have one dimension writes beyond its memory"
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
    no_lanes = _why_not_lanes(group, conditions)
    members = len(group.members)
    if no_lanes is None:
        return Choice("lanes", f"{members} members fill {_lanes(group)} lanes")
    if group.architecture in PRODUCTS:
        return Choice("vmap", f"a stack needs one call for each operation; no lanes: {no_lanes}")
    layers = sum(any(True for _ in layer.parameters(recurse=False)) for layer in _module(group, conditions).modules())
    flop = forward_flop(group, conditions.input_shape, conditions.classes) * passes(group) * group.batch_size
    work = f"{flop / layers / MEGA:,.1f} million operations a layer"
    if flop > LIGHT * layers:
        return Choice("sequential", f"{work} are more than calls cost, so a stack gains nothing; no lanes: {no_lanes}")
    return Choice("vmap", f"{work} cost less than the calls that a stack saves; no lanes: {no_lanes}")


def _why_not_lanes(group: Group, conditions: Conditions) -> str | None:
    members = len(group.members)
    parameters = sum(parameter.numel() for parameter in _module(group, conditions).parameters())
    if members < FEWEST_LANES * _lanes(group):
        return f"{members} of {_lanes(group)} lanes are too few"
    if parameters > MOST_PARAMETERS:
        return f"{parameters:,} parameters need none"
    return refusal("lanes", group, conditions)


def _lanes(group: Group) -> int:
    """Lanes that the members take, the empty ones of the last register among them."""
    return -(-len(group.members) // LANES) * LANES


def _module(group: Group, conditions: Conditions) -> nn.Module:
    return group.skeleton(conditions.input_shape, conditions.classes)
