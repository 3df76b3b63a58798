"""What a build is going to do: members, steps, bytes and time, before it begins."""

import math
from datetime import datetime

import polars as pl
from pydantic import BaseModel, ConfigDict

from zoo.arithmetic import forward_flop, passes
from zoo.cost import PETA
from zoo.datasets import Dataset
from zoo.group import Group
from zoo.optimise import optimiser
from zoo.train import used_samples

VALUE_BYTES = 4
CURVES = 4
"""Values that are measured after each epoch: two metrics, in training and on the validation split."""
CURVE_BYTES = 24
"""Bytes of a measured value as text."""
HEADER_BYTES = 4096


class GroupPlan(BaseModel):
    """What training one group takes."""

    model_config = ConfigDict(frozen=True)

    name: str
    members: int
    epochs: int
    steps: int
    stored_bytes: int
    """Of its shards and its result."""
    kept_bytes: int
    """Of its training on its way, while that is being renewed."""
    flop: float
    """Floating point operations of all its steps and measurements."""
    forward: float
    """Floating point operations of one sample's forward pass through one member."""
    seconds: float | None = None


class Plan(BaseModel):
    """What a build is going to do; groups that are done already are not among it."""

    model_config = ConfigDict(frozen=True)

    population_id: str
    engine: str
    device: str
    slots: int
    drawn_at: datetime
    groups: list[GroupPlan]

    @property
    def members(self) -> int:
        """Members to train."""
        return sum(group.members for group in self.groups)

    @property
    def steps(self) -> int:
        """Steps of all groups."""
        return sum(group.steps for group in self.groups)

    @property
    def stored_bytes(self) -> int:
        """Bytes that stay."""
        return sum(group.stored_bytes for group in self.groups)

    @property
    def needed_bytes(self) -> int:
        """Bytes that the disk needs room for: what stays, and the largest trainings that are kept at once."""
        kept = sorted((group.kept_bytes for group in self.groups), reverse=True)
        return self.stored_bytes + sum(kept[: self.slots])

    @property
    def seconds(self) -> float | None:
        """Seconds from beginning to end, None where that was not found out."""
        each = [group.seconds for group in self.groups]
        known = [seconds for seconds in each if seconds is not None]
        return max(sum(known) / self.slots, max(known, default=0.0)) if len(known) == len(each) else None

    def in_words(self) -> str:
        """The plan in one line."""
        time = "" if self.seconds is None else f"about {in_time(self.seconds)}, "
        return (
            f"{self.population_id}: {self.members:,} members in {len(self.groups)} groups, {self.steps:,} steps, "
            f"{in_bytes(self.needed_bytes)} of disk, {time}{self.slots} at once on {self.device}"
        )

    def table(self) -> pl.DataFrame:
        """One row: what is to be done, and what it takes."""
        return pl.DataFrame(
            {
                "population_id": [self.population_id],
                "groups": [len(self.groups)],
                "members": [self.members],
                "steps": [self.steps],
                "petaflop": [sum(group.flop for group in self.groups) / PETA],
                "bytes": [self.needed_bytes],
                "seconds": [self.seconds],
                "engine": [self.engine],
                "device": [self.device],
                "at_once": [self.slots],
            },
            schema_overrides={"seconds": pl.Float64},
        )


def in_bytes(size: int) -> str:
    """Write a number of bytes for people.

    >>> in_bytes(1_234_567)
    '1.2 MB'
    """
    for unit, digits in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**digits:
            return f"{size / 10**digits:,.1f} {unit}"
    return f"{size} B"


def in_time(seconds: float) -> str:
    """Write a time for people.

    >>> in_time(5400)
    '1.5 hours'
    """
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def group_plan(group: Group, dataset: Dataset) -> GroupPlan:
    """Work out what a group takes on a dataset; how long is left open."""
    module = group.skeleton(dataset.input_shape, dataset.classes)
    parameters = sum(tensor.numel() for tensor in module.parameters())
    buffers = sum(tensor.numel() for tensor in module.buffers())
    members, measured = len(group.members), group.epochs * CURVES
    checkpoints = len({*group.checkpoint_epochs, group.epochs})
    curves = members * measured * CURVE_BYTES
    memories = optimiser(group.optimizer, group.momentum).memories
    state = members * VALUE_BYTES * ((1 + memories) * parameters + buffers) + curves
    samples = len(used_samples(dataset.train, group.data_fraction))
    forward = forward_flop(group, dataset.input_shape, dataset.classes)
    seen = passes(group) * samples * group.epochs + len(dataset.validation) * group.epochs + len(dataset.test)
    return GroupPlan(
        name=group.name,
        members=members,
        epochs=group.epochs,
        steps=group.epochs * math.ceil(samples / group.batch_size),
        stored_bytes=checkpoints * (members * VALUE_BYTES * (parameters + buffers) + HEADER_BYTES) + curves,
        kept_bytes=2 * state + HEADER_BYTES,
        flop=float(forward) * seen * members,
        forward=float(forward),
    )
