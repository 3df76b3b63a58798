"""What the stitches of a network cost: FLOPs, parameters, time; and which of them are worth it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from learners.stitching.stitchable import StitchableNetwork


@torch.no_grad()
def flops(module: nn.Module, sample: Tensor) -> int:
    """Count the FLOPs of one sample `[1, ...]` with torch's counter: two for each multiplication with its addition.

    Matrix products and convolutions count, everything else is nothing. Attention counts as its two matrix products,
    whatever one call torch would make of it, or of a whole transformer layer, on some device: its counter knows few
    of those calls, and takes the others for nothing.
    """
    counter = FlopCounterMode(display=False)
    with _unfused(), counter:
        module(sample)
    return int(counter.get_total_flops())


@contextmanager
def _unfused() -> Iterator[None]:
    """Let torch compute attention and transformer layers by matrix products."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def count_flops(network: StitchableNetwork, sample: Tensor) -> tuple[int, ...]:
    """Count the FLOPs of every stitch for one sample `[1, ...]`, and remember them in the network."""
    network.flops = tuple(flops(network.at(index), sample) for index in range(len(network.stitches)))
    return network.flops


def parameters(network: StitchableNetwork) -> tuple[int, ...]:
    """Count the parameters that every stitch runs, each once."""
    return tuple(
        sum(parameter.numel() for parameter in network.at(index).parameters()) for index in range(len(network.stitches))
    )


@torch.no_grad()
def latency(module: nn.Module, x: Tensor, repeats: int = 5) -> float:
    """Median time of a run, in seconds; on a GPU until it is done."""
    times = []
    for _ in range(repeats + 1):
        begin = perf_counter()
        module(x)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        times.append(perf_counter() - begin)
    return median(times[1:])


def pareto(costs: Sequence[float], worth: Sequence[float]) -> list[int]:
    """Indices of the Pareto front, from the cheapest on: nothing that costs as little is worth as much.

    >>> pareto([1, 2, 3, 3], [0.5, 0.4, 0.9, 0.8])
    [0, 2]
    """
    best, front = float("-inf"), []
    for index in sorted(range(len(costs)), key=lambda number: (costs[number], -worth[number])):
        if worth[index] > best:
            best = worth[index]
            front.append(index)
    return front
