"""Ways to leave out values of a task vector; each is safe for tensors of any size, and keeps one value at least."""

from typing import Annotated

import torch
from torch import Tensor

from learners.soups.methods.method import Setting
from learners.soups.methods.pieces import pieces

RESCALES = ("density", "l1", "none")
Rescale = Annotated[str, Setting("how the kept values make up for the dropped", choices=RESCALES)]


def kept_count(values: int, density: float) -> int:
    """How many of so many values a density keeps: rounded down, never none."""
    return max(1, int(density * values)) if values else 0


def largest(delta: Tensor, density: float) -> Tensor:
    """Zero all but the values of largest magnitude."""
    values = delta.numel()
    return delta if density >= 1 or not values else of_ranks(delta, values - kept_count(values, density), values)


def between(delta: Tensor, density: float, outliers: float) -> Tensor:
    """Zero the share `outliers` of largest magnitude, and of the rest the smallest, until `density` is left."""
    values = delta.numel()
    if density >= 1 or not values:
        return delta
    kept, top = kept_count(values, density), int(outliers * values)
    begin = max(0, values - kept - top)
    return of_ranks(delta, begin, begin + kept)


def of_ranks(delta: Tensor, begin: int, end: int) -> Tensor:
    """Zero all but the values from rank `begin` to before `end` by magnitude, the smallest first, then by their place.

    It is written to; beside it one copy of its magnitudes is in memory.

    Example:
        >>> of_ranks(torch.tensor([3.0, -1.0, 1.0, -4.0]), 1, 3)
        tensor([3., 0., 1., 0.])
    """
    flat = delta.reshape(-1)
    first, last = _at_ranks(flat, begin, end - 1)
    ranks = {bound: sum(int((part.abs() < bound).sum()) for (part,) in pieces(flat)) for bound in {first, last}}
    for (part,) in pieces(flat):
        magnitudes = part.abs()
        kept = (magnitudes > first) & (magnitudes < last)
        for bound in ranks:
            equal = magnitudes == bound
            own = equal.cumsum(0).add_(ranks[bound] - 1)
            kept |= equal & (own >= begin) & (own < end)
            ranks[bound] = int(own[-1]) + 1
        part.masked_fill_(~kept, 0)
    return flat.view(delta.shape)


def _at_ranks(flat: Tensor, *ranks: int) -> list[float]:
    """Magnitudes of the values of some ranks."""
    magnitudes = flat.abs().numpy()
    magnitudes.partition(ranks)
    return [float(magnitudes[rank]) for rank in ranks]


def drawn(delta: Tensor, probabilities: Tensor | float, rescale: str, generator: torch.Generator) -> Tensor:
    """Keep each value with a probability, and make the kept ones larger, so that what is lost is made up for.

    `density` divides each kept value by its own probability, which keeps the expected task vector as it was; `l1`
    multiplies all by one factor, which keeps the sum of magnitudes.
    """
    before = _l1(delta) if rescale == "l1" else 0.0
    flat = delta.reshape(-1)
    chances = torch.as_tensor(probabilities, dtype=delta.dtype).expand_as(delta)
    for part, chance in pieces(flat, chances):
        part.mul_(torch.rand(part.shape, generator=generator, dtype=torch.float32) < chance)
        if rescale == "density":
            part.div_(chance)
    whole = flat.view(delta.shape)
    if rescale == "l1" and (after := _l1(whole)) > 0:
        whole.mul_(before / after)
    return whole


def _l1(delta: Tensor) -> float:
    return sum(float(part.abs().sum(dtype=torch.float64)) for (part,) in pieces(delta))


def too_small(delta: Tensor, density: float) -> bool:
    """Whether not even one value would be kept on average: such a tensor stays whole."""
    return density >= 1 or delta.numel() * density < 1
