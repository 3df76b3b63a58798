"""Says what one group of a population is: members of the same shapes that are trained together."""

from dataclasses import dataclass


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
