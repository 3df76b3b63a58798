"""The zoo's architectures: plain modules of an input shape, a number of classes and a width."""

import inspect
from collections.abc import Collection

import torch
from torch import nn

from schemas.errors import UsageError
from zoo.architectures.cnn import CNN
from zoo.architectures.gpt2 import GPT2
from zoo.architectures.mlp import MLP
from zoo.architectures.pinn import PINN
from zoo.architectures.resnet import (
    ResNet18,
    ResNet18GroupNorm,
    ResNet34,
    ResNet34GroupNorm,
    ResNet50,
    ResNet50GroupNorm,
)
from zoo.architectures.vit import ViT

__all__ = ["ARCHITECTURES", "CNN", "GPT2", "MLP", "PINN", "ResNet18", "ViT", "check_options", "skeleton"]

ARCHITECTURES: dict[str, type[nn.Module]] = {
    "cnn": CNN,
    "gpt2": GPT2,
    "mlp": MLP,
    "pinn": PINN,
    "resnet18": ResNet18,
    "resnet18-groupnorm": ResNet18GroupNorm,
    "resnet34": ResNet34,
    "resnet34-groupnorm": ResNet34GroupNorm,
    "resnet50": ResNet50,
    "resnet50-groupnorm": ResNet50GroupNorm,
    "vit": ViT,
}

SAMPLES = {"gpt2": ("tokens", 1), "pinn": ("points", 1)}
"""What the samples of an architecture are if not images, and the number of their axes."""


def skeleton(
    architecture: str,
    input_shape: tuple[int, ...],
    classes: int,
    width: int,
    *,
    depth: int | None = None,
    activation: str | None = None,
    dropout: float | None = None,
) -> nn.Module:
    """Build an architecture that has shapes and no values, and draw no random number for it.

    Its parameters lie on torch's meta device, and it is in evaluation mode. `zoo.initialise.initialise`
    gives it values, and `zoo.population.forward` runs it with the weights of a population. Options
    that are None are the architecture's own.

    Args:
        architecture: A name in `ARCHITECTURES`.
        input_shape: Shape of one sample: channels, height and width of an image, or the places of a text.
        classes: Number of outputs.
        width: Width factor; each architecture says what it scales.
        depth: Hidden layers or blocks.
        activation: A name in `zoo.architectures.activations.ACTIVATIONS`.
        dropout: Share of values that training drops.

    Raises:
        UsageError: A name is unknown, the architecture has no such option, or it cannot take such samples.
    """
    options = {"depth": depth, "activation": activation, "dropout": dropout}
    given = {name: value for name, value in options.items() if value is not None}
    check_options(architecture, given)
    kind, axes = SAMPLES.get(architecture, ("images", 3))
    if len(input_shape) != axes:
        raise UsageError(f"a {architecture} needs {kind}; samples of shape {list(input_shape)} are none")
    with torch.device("meta"):
        return ARCHITECTURES[architecture](input_shape, classes, width, **given).eval()


def check_options(architecture: str, options: Collection[str]) -> None:
    """Raise UsageError unless there is such an architecture and it has options of these names."""
    if architecture not in ARCHITECTURES:
        choices = ", ".join(sorted(ARCHITECTURES))
        raise UsageError(f"architecture {architecture!r} is unknown; choose one of: {choices}")
    parameters = inspect.signature(ARCHITECTURES[architecture]).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise UsageError(f"{name}: a {architecture} has none; it has: {', '.join(known) or 'nothing but a width'}")
