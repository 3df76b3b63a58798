"""Initial weights from a generator of one's own, equal to torch's defaults and never from its global one."""

from math import sqrt

import torch
from torch import Tensor, nn


def initialise(module: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw initial weights for a module made of linear layers and convolutions.

    Weights and biases are uniform in +-1/sqrt(inputs of one unit), which is what torch's defaults
    come to (kaiming_uniform with a = sqrt(5)), and are drawn in torch's order: a generator seeded
    with s gives what `torch.manual_seed(s)` and building the module would give.

    Args:
        module: Gives names and shapes and stays as it is; it may be a `skeleton`.
        generator: A CPU generator.

    Returns:
        A float32 tensor on the CPU for each parameter's name.

    Raises:
        TypeError: A layer with parameters is neither linear nor a convolution.
    """
    weights: dict[str, Tensor] = {}
    for path, layer in module.named_modules():
        parameters = dict(layer.named_parameters(recurse=False))
        if parameters and not isinstance(layer, nn.Linear | nn.Conv2d):
            raise TypeError(f"layer {path} is a {type(layer).__name__}; only Linear and Conv2d are initialised")
        for name, parameter in parameters.items():
            bound = 1 / sqrt(layer.weight[0].numel())
            values = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            weights[f"{path}.{name}" if path else name] = values
    return weights
