"""The activation functions that a recipe may name."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from schemas.errors import UsageError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "tanh": torch.tanh,
}


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """Give the activation function of a name; raise UsageError with the choices if there is none."""
    if name not in ACTIVATIONS:
        raise UsageError(f"activation {name!r} is unknown; choose one of: {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[name]
