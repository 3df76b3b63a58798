"""REPAIR: the units of a merged network get back the means and deviations that averaging has taken from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

DEAD = 1e-8
"""Units of a merged network whose deviation is less than this are only shifted."""


class Moments(NamedTuple):
    """Mean and standard deviation of each unit of a layer, `[units]`."""

    mean: Tensor
    deviation: Tensor


def repaired(
    module: nn.Module, merged: Mapping[str, Tensor], ingredients: Sequence[Mapping[str, Tensor]], x: Tensor
) -> dict[str, Tensor]:
    """Rescale and shift a merged network's hidden units so that their moments are the mean of the ingredients'.

    For each linear layer and convolution with a bias, but the last one, in the order of computation:
    W = W s / s', b = (b - m') s / s' + m, where m and s are means over the ingredients of the units' means and
    deviations, and m' and s' those of the merged network as it is by then. Networks with batch norm need their
    statistics estimated anew instead, which does the same.

    Args:
        module: How all of them compute, as in `zoo.population.forward`.
        merged: Tensors of the merged model.
        ingredients: Those of the models that it was merged from, aligned; each is asked for once.
        x: Samples `[n, ...]`, some thousands.

    Source:
        Jordan et al. 2023, REPAIR, https://arxiv.org/abs/2211.08403.
    """
    found = (moments(module, weights, x) for weights in ingredients)
    return restored(module, merged, mean_moments(found, [1 / len(ingredients)] * len(ingredients)), x)


def mean_moments(found: Iterable[Mapping[str, Moments]], shares: Iterable[float]) -> dict[str, Moments]:
    """Means over models of their moments, each model by its share; shares sum to one."""
    total: dict[str, Moments] = {}
    for each, share in zip(found, shares, strict=True):
        for layer, values in each.items():
            parts = [value * share for value in values]
            total[layer] = Moments(*map(torch.add, total[layer], parts)) if layer in total else Moments(*parts)
    return total


def restored(
    module: nn.Module, merged: Mapping[str, Tensor], goal: Mapping[str, Moments], x: Tensor
) -> dict[str, Tensor]:
    """Rescale and shift a network's hidden units so that they have the moments of `goal`; see `repaired`."""
    weights = dict(merged)
    for layer in list(goal)[:-1]:
        found = moments(module, weights, x)[layer]
        mean, deviation = goal[layer]
        ratio = torch.where(found.deviation > DEAD, deviation / found.deviation.clamp(min=DEAD), 1.0)
        weight, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
        stretched = weight.double() * ratio.reshape(-1, *[1] * (weight.ndim - 1))
        weights[f"{layer}.weight"] = stretched.to(weight.dtype)
        weights[f"{layer}.bias"] = ((bias.double() - found.mean) * ratio + mean).to(bias.dtype)
    return weights


@torch.no_grad()
def moments(module: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> dict[str, Moments]:
    """Moments of what each linear layer and convolution with a bias gives, in the order of computation, float64."""
    found: dict[str, Moments] = {}

    def noting(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(layer: nn.Module, inputs: object, out: Tensor) -> None:
            units = 1 if isinstance(layer, nn.Conv2d) else out.ndim - 1
            rows = out.double().movedim(units, 0).flatten(1)
            found[name] = Moments(rows.mean(dim=1), rows.std(dim=1, unbiased=False))

        return note

    layers = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None
    ]
    hooks = [layer.register_forward_hook(noting(name)) for name, layer in layers]
    try:
        functional_call(module, dict(weights), (x,))
    finally:
        for hook in hooks:
            hook.remove()
    return found
