"""Says what one group of a population is: members of the same shapes that are trained together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Member:
    """What one member has to itself: its name, seeds, learning rate, weight decay and label noise."""

    name: str
    seed: int
    init_seed: int
    learning_rate: float
    weight_decay: float
    label_noise: float


@dataclass(frozen=True)
class Group:
    """Members that share an architecture, a width and a batch size, and how they are trained."""

    name: str
    architecture: str
    width: int
    batch_size: int
    epochs: int
    optimizer: str
    momentum: float
    schedule: str
    checkpoint_epochs: tuple[int, ...]
    members: tuple[Member, ...]

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Group:
        """Rebuild a group from `dataclasses.asdict` of it, also after a journey through JSON."""
        members = tuple(Member(**member) for member in fields["members"])
        return cls(**{**fields, "members": members, "checkpoint_epochs": tuple(fields["checkpoint_epochs"])})
