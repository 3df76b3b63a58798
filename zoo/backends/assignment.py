"""What a backend is given: a group and its data on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.group import Group
from zoo.population import Samples, Weights
from zoo.randomness import key

AUGMENTATION = "augmentation"


@dataclass(frozen=True)
class Assignment:
    """A group of N members to train, on one device."""

    group: Group
    module: nn.Module
    """The members' skeleton, in evaluation mode."""
    learner: nn.Module
    """The members' skeleton, in training mode."""
    train: Samples
    """Training samples, on the device, in the floating point type of the training."""
    labels: Tensor | None
    """Each member's own training labels `[N, n, ...]`; None where all have those of `train`."""
    start: Weights
    """Stacked weights to start from."""
    device: torch.device
    dtype: torch.dtype
    precision: torch.dtype | None = None
    """A smaller type for the arithmetic of forward and backward passes; weights stay in `dtype`."""

    @property
    def members(self) -> int:
        """N."""
        return len(self.group.members)

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Shape of each parameter of one member."""
        return {name: parameter.shape for name, parameter in self.module.named_parameters()}

    @property
    def dropouts(self) -> list[str]:
        """Names of the buffers that hold the keys of dropout."""
        return [name for name, _ in self.module.named_buffers() if name not in self.start]

    @property
    def random(self) -> list[str]:
        """What is random in a step: the dropouts, and the augmentation if there is one."""
        return [*self.dropouts, *([AUGMENTATION] if self.group.augmentation else [])]

    def keys(self, purpose: str, step: int) -> Tensor:
        """A number for each member, `[N]`, on which hangs what is random in a step."""
        keys = [key(purpose, member.seed, step) for member in self.group.members]
        return torch.tensor(keys, dtype=torch.int64, device=self.device)

    def targets(self, batch: Tensor) -> Tensor:
        """Give the labels `[N, b, ...]` of the samples that each member meets, `[N, b]`."""
        if self.labels is None:
            return self.train.y[batch]
        return self.labels[torch.arange(len(batch), device=self.device).unsqueeze(1), batch]
