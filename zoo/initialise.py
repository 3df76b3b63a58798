"""Initial weights from a generator of one's own, and never from torch's global one."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Draw = Callable[[str, nn.Module, Tensor, torch.Generator], Tensor]
"""Draws one parameter: its name in the layer, the layer, the empty parameter, the generator."""

SMALL = 0.02
BIAS = 0.01


def initialise(module: nn.Module, generator: torch.Generator, scheme: str | None = None) -> dict[str, Tensor]:
    """Draw the initial state of a module: its parameters, and the buffers of its normalising layers.

    A normalising layer starts with scale 1, shift 0, mean 0 and variance 1. For all else there are
    schemes: `torch` is what torch's layers come with, uniform in +-1/sqrt(inputs of one unit), and is
    drawn in torch's order: a generator seeded with s gives what `torch.manual_seed(s)` and building the
    module would give. `uniform` (0 to 1), `normal` (variance 1), `kaiming_uniform` and `kaiming_normal`
    draw weights as torch's functions of these names do, with all biases 0.01, as the published model
    zoos have it (Schürholt et al., 2022). `transformer` is normal with a deviation of 0.02 and biases
    of 0 (Radford et al., 2019).

    Args:
        module: Gives names and shapes and stays as it is; it may be a `skeleton`.
        generator: A CPU generator.
        scheme: A name in `SCHEMES`; without it what the module's class names, or `torch`.

    Returns:
        A tensor on the CPU for each name: float32, and int64 for counters.

    Raises:
        TypeError: A layer with parameters is of no kind that the scheme knows.
    """
    draw = SCHEMES[scheme or str(getattr(module, "initialisation", "torch"))]
    state: dict[str, Tensor] = {}
    for path, layer in module.named_modules():
        prefix = f"{path}." if path else ""
        for name, parameter in layer.named_parameters(recurse=False):
            if isinstance(layer, _BatchNorm | nn.GroupNorm | nn.LayerNorm):
                state[prefix + name] = _constant(parameter, float(name == "weight"))
            else:
                _check(path, layer)
                state[prefix + name] = draw(name, layer, torch.empty(parameter.shape), generator)
        if isinstance(layer, _BatchNorm):
            for name, buffer in layer.named_buffers(recurse=False):
                state[prefix + name] = _constant(buffer, float(name == "running_var"))
    return state


def _check(path: str, layer: nn.Module) -> None:
    known = isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding)
    if not known and type(layer).__module__.startswith("torch."):
        raise TypeError(f"layer {path} is a {type(layer).__name__}; nobody knows how to initialise it")


def _constant(like: Tensor, value: float) -> Tensor:
    return torch.full(like.shape, value, dtype=like.dtype)


def _torch(name: str, layer: nn.Module, empty: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform in +-1/sqrt(inputs): what kaiming_uniform with a = sqrt(5) comes to, and the bias's bound too."""
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        return empty.normal_(generator=generator)
    bound = 1 / sqrt(layer.weight[0].numel())
    return empty.uniform_(-bound, bound, generator=generator)


def _transformer(name: str, layer: nn.Module, empty: Tensor, generator: torch.Generator) -> Tensor:
    return empty.zero_() if name == "bias" else empty.normal_(std=SMALL, generator=generator)


def _drawn_by(function: Callable[..., Tensor]) -> Draw:
    def draw(name: str, layer: nn.Module, empty: Tensor, generator: torch.Generator) -> Tensor:
        return empty.fill_(BIAS) if name == "bias" else function(empty, generator=generator)

    return draw


SCHEMES: dict[str, Draw] = {
    "kaiming_normal": _drawn_by(nn.init.kaiming_normal_),
    "kaiming_uniform": _drawn_by(nn.init.kaiming_uniform_),
    "normal": _drawn_by(nn.init.normal_),
    "torch": _torch,
    "transformer": _transformer,
    "uniform": _drawn_by(nn.init.uniform_),
}
