"""Ways to leave out values of a task vector; each is safe for tensors of any size, and keeps one value at least."""

from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting

RESCALES = ("density", "l1", "none")
Rescale = Annotated[str, Setting("how the kept values make up for the dropped", choices=RESCALES)]


def kept_count(values: int, density: float) -> int:
    """How many of so many values a density keeps: rounded down, never none."""
    return max(1, int(density * values)) if values else 0


def largest(delta: Tensor, density: float) -> Tensor:
    """Zero all but the values of largest magnitude."""
    if density >= 1 or not delta.numel():
        return delta
    flat = delta.reshape(-1)
    chosen = torch.topk(flat.abs(), kept_count(flat.numel(), density), sorted=False).indices
    values = flat[chosen]
    flat.zero_()
    flat[chosen] = values
    return flat.view(delta.shape)


def between(delta: Tensor, density: float, outliers: float) -> Tensor:
    """Zero the share `outliers` of largest magnitude, and of the rest the smallest, until `density` is left."""
    if density >= 1 or not delta.numel():
        return delta
    flat = delta.reshape(-1)
    kept, top = kept_count(flat.numel(), density), int(outliers * flat.numel())
    begin = max(0, flat.numel() - kept - top)
    chosen = torch.argsort(flat.abs())[begin : begin + kept]
    values = flat[chosen]
    flat.zero_()
    flat[chosen] = values
    return flat.view(delta.shape)


def drawn(delta: Tensor, probabilities: Tensor | float, rescale: str, generator: torch.Generator) -> Tensor:
    """Keep each value with a probability, and make the kept ones larger, so that what is lost is made up for.

    `density` divides each kept value by its own probability, which keeps the expected task vector as it was; `l1`
    multiplies all by one factor, which keeps the sum of magnitudes.
    """
    uniform = torch.rand(delta.shape, generator=generator, dtype=torch.float32)
    kept = uniform < probabilities
    before = delta.abs().sum() if rescale == "l1" else None
    delta.mul_(kept)
    if before is not None:
        after = delta.abs().sum()
        return delta.mul_(before / after) if after > 0 else delta
    return delta.div_(probabilities) if rescale == "density" else delta


def too_small(delta: Tensor, density: float) -> bool:
    """Whether not even one value would be kept on average: such a tensor stays whole."""
    return density >= 1 or delta.numel() * density < 1
