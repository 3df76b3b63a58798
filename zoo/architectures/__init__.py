"""The zoo's architectures: plain modules of a name, an input shape, a number of classes and a width."""

import torch
from torch import nn

from schemas.errors import UsageError
from zoo.architectures.cnn import CNN
from zoo.architectures.mlp import MLP

__all__ = ["ARCHITECTURES", "CNN", "MLP", "skeleton"]

ARCHITECTURES: dict[str, type[CNN] | type[MLP]] = {"cnn": CNN, "mlp": MLP}


def skeleton(architecture: str, input_shape: tuple[int, int, int], classes: int, width: int) -> nn.Module:
    """Build an architecture that has shapes and no values, and draw no random number for it.

    Its parameters lie on torch's meta device. `zoo.initialise.initialise` gives them values, and
    `zoo.population.forward` runs it with the weights of a population.

    Args:
        architecture: A name in `ARCHITECTURES`.
        input_shape: Channels, height and width of one sample.
        classes: Number of outputs.
        width: Width factor; each architecture says what it scales.

    Raises:
        UsageError: The name is unknown, or the samples are too small for the architecture.
    """
    if architecture not in ARCHITECTURES:
        choices = ", ".join(sorted(ARCHITECTURES))
        raise UsageError(f"architecture {architecture!r} is unknown; choose one of: {choices}")
    with torch.device("meta"):
        return ARCHITECTURES[architecture](input_shape, classes, width)
