"""Gram matrices of the inputs of a model's linear layers and convolutions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import unfold

from zoo.population import Samples

SAMPLES_AT_ONCE = 256


@torch.no_grad()
def gram_matrices(module: nn.Module, weights: Mapping[str, Tensor], samples: Samples) -> dict[str, Tensor]:
    """X^T X of the inputs of each `nn.Linear` and `nn.Conv2d` (groups of 1), by the name of its weight.

    A convolution's inputs are the patches that it sees, so that its weight `[outputs, inputs, k, k]` counts as
    `[outputs, inputs * k * k]`.

    Args:
        module: How to compute, as in `zoo.population.forward`.
        weights: Tensors of one model.
        samples: What it is shown; their classes are not looked at.

    Returns:
        `[inputs, inputs]` each, float64, summed over samples and places and divided by the number of samples.

    Source:
        Jin et al. 2023, https://arxiv.org/abs/2212.09849.
    """
    grams: dict[str, Tensor] = {}

    def noting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = _rows(layer, inputs[0]).double()
            grams[name] = grams.get(name, torch.zeros((), dtype=torch.float64)) + rows.T @ rows / len(samples)

        return note

    hooks = [
        layer.register_forward_pre_hook(noting(f"{name}.weight" if name else "weight"))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    ]
    try:
        for x in torch.split(samples.x, SAMPLES_AT_ONCE):
            functional_call(module, dict(weights), (x,))
    finally:
        for hook in hooks:
            hook.remove()
    return grams


def _rows(layer: nn.Module, x: Tensor) -> Tensor:
    """Inputs as rows `[samples and places, inputs]`."""
    if isinstance(layer, nn.Conv2d):
        patches = unfold(
            x,
            kernel_size=layer.kernel_size,
            dilation=layer.dilation,
            padding=layer.padding,  # type: ignore[arg-type] # the zoo's layers have numbers here, no words
            stride=layer.stride,
        )
        return patches.transpose(1, 2).reshape(-1, patches.shape[1])
    return x.reshape(-1, x.shape[-1])
