"""The learned soup: mixing weights that are optimised on validation data, with two models in memory at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from schemas.errors import UsageError

Gradient = Callable[[dict[str, Tensor]], tuple[float, dict[str, Tensor]]]
"""Loss of a model's weights, and its gradient for each floating-point tensor."""

BY = ("model", "tensor")
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        shares: Share of each model, each row sums to 1: `[1, N]`, or `[tensors, N]` by tensor.
        losses: Loss before each step, and after the last one.
        weights: The mixed model.
    """

    shares: Tensor
    losses: tuple[float, ...]
    weights: dict[str, Tensor]


def learn(
    models: Sequence[Mapping[str, Tensor]],
    gradient: Gradient,
    *,
    by: str = "model",
    steps: int = 50,
    learning_rate: float = 0.1,
) -> Learned:
    """Learn softmax weights of models by Adam; the best step counts.

    theta = sum_i softmax(a)_i theta_i, and dL/da_i = s_i (<g, theta_i> - sum_j s_j <g, theta_j>) with g = dL/dtheta,
    so that a step reads every model twice, one at a time, whatever their number.

    Args:
        models: Tensors by name; each model is asked for when it is needed.
        gradient: Loss and gradient on validation data.
        by: `model` for one weight a model, `tensor` for one a model and tensor.
        steps: Steps of Adam.
        learning_rate: Its learning rate.

    Raises:
        UsageError: An option cannot be.

    Source:
        Wortsman et al. 2022, "Model soups", appendix I, https://arxiv.org/abs/2203.05482.
    """
    if by not in BY:
        raise UsageError(f"by = {by!r}: choose one of: {', '.join(BY)}")
    if steps < 0 or not learning_rate > 0:
        raise UsageError(f"steps = {steps}, learning_rate = {learning_rate}: expected steps from 0, a rate above 0")
    names = [name for name, tensor in models[0].items() if tensor.is_floating_point()]
    row = {name: place if by == "tensor" else 0 for place, name in enumerate(names)}
    logits = torch.zeros(max(row.values()) + 1, len(models), dtype=torch.float64)
    first, second = torch.zeros_like(logits), torch.zeros_like(logits)
    best, best_loss, losses = logits, float("inf"), []
    for step in range(1, steps + 2):
        shares = logits.softmax(dim=1)
        loss, gradients = gradient(mixed(models, shares, row))
        losses.append(loss)
        if loss < best_loss:
            best, best_loss = logits.clone(), loss
        if step > steps:
            break
        slope = _slope(models, gradients, shares, row)
        first = FIRST * first + (1 - FIRST) * slope
        second = SECOND * second + (1 - SECOND) * slope * slope
        spread = (second / (1 - SECOND**step)).sqrt() + SMALL
        logits = logits - learning_rate * first / (1 - FIRST**step) / spread
    shares = best.softmax(dim=1)
    return Learned(shares, tuple(losses), mixed(models, shares, row))


def mixed(models: Iterable[Mapping[str, Tensor]], shares: Tensor, row: Mapping[str, int]) -> dict[str, Tensor]:
    """Sum of shares times models, in float64; tensors that are no floating-point numbers are the first model's."""
    total: dict[str, Tensor] = {}
    kinds: dict[str, torch.dtype] = {}
    for number, model in enumerate(models):
        for name, tensor in model.items():
            if name not in row:
                total.setdefault(name, tensor)
                continue
            share = float(shares[row[name], number])
            if name in kinds:
                total[name].add_(tensor.double(), alpha=share)
            else:
                total[name], kinds[name] = tensor.double() * share, tensor.dtype
    return {name: tensor.to(kinds[name]) if name in kinds else tensor for name, tensor in total.items()}


def _slope(
    models: Iterable[Mapping[str, Tensor]], gradients: Mapping[str, Tensor], shares: Tensor, row: Mapping[str, int]
) -> Tensor:
    products = torch.zeros_like(shares)
    for number, model in enumerate(models):
        for name, place in row.items():
            if name in gradients:
                products[place, number] += float((gradients[name].double() * model[name].double()).sum())
    return shares * (products - (shares * products).sum(dim=1, keepdim=True))
