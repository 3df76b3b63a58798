"""Says what one group of a population is: members of the same shapes that are trained together."""

from dataclasses import dataclass

from torch import nn

from zoo.architectures import skeleton


@dataclass(frozen=True)
class Member:
    """What one member has to itself: its name, seeds, learning rate, weight decay, label noise, and where it starts."""

    name: str
    seed: int
    init_seed: int
    learning_rate: float
    weight_decay: float
    label_noise: float
    initialisation: str | None = None
    """A scheme of `zoo.initialise`; without it the architecture's own."""
    convection: float | None = None
    """Coefficient of the equation that a physics-informed network solves."""
    parent: str | None = None
    """The model whose weights it starts from; without it the initialisation."""


@dataclass(frozen=True)
class Group:
    """Members that share an architecture, its shapes and a batch size, and how they are trained."""

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
    depth: int | None = None
    activation: str | None = None
    dropout: float | None = None
    data_fraction: float = 1.0
    """Share of the training samples that are used."""
    augmentation: tuple[str, ...] = ()
    """Names in `zoo.augmentation.AUGMENTATIONS`."""

    def skeleton(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Build the members' architecture, as `zoo.architectures.skeleton`."""
        options = {"depth": self.depth, "activation": self.activation, "dropout": self.dropout}
        return skeleton(self.architecture, input_shape, classes, self.width, **options)  # type: ignore[arg-type] # each has its own type
