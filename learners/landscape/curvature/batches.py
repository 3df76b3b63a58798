"""How many members and samples go through at once: so many that the graph stays within a budget of memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learners.landscape.curvature.loss import LossSum
from zoo.population import Samples, size

CPU_BYTES = 64 << 20
"""What one graph may hold on a CPU."""
GPU_BYTES = 4 << 30
PROBED = (4, 12)
OUTPUTS_KEPT = 40
"""How often a graph keeps the outputs of a layer where the loss holds derivatives, about: five points, twice over."""


@dataclass(frozen=True)
class Batches:
    """How a measurement is cut: members at once, samples of a piece, and whether all pieces are kept."""

    members: int
    samples: int
    keep: bool


def batches(
    loss_sum: LossSum,
    population: Mapping[str, Tensor],
    samples: Samples,
    names: Sequence[str],
    budget: int | None = None,
) -> Batches:
    """Choose so that the graph of the gradient of all members that go at once takes about `budget` bytes at most.

    What a graph keeps is measured on one member and a few samples. Where one member's graph over all samples is too
    large, its pieces are built anew for each product. A loss that differentiates by its samples lets nobody watch what
    its graph keeps: that is estimated from the layers' outputs. Convolutions on a CPU go member by member, because
    stacked ones are grouped ones, which are slow there.
    """
    device = samples.x.device
    budget = budget or (CPU_BYTES if device.type == "cpu" else GPU_BYTES)
    each = _bytes_a_sample(loss_sum, {name: tensor[:1] for name, tensor in population.items()}, samples, names)
    whole = each * len(samples)
    convolutional = device.type == "cpu" and any(tensor.ndim == 5 for tensor in population.values())
    members = 1 if convolutional else max(1, min(size(population), budget // whole))
    return Batches(members, max(1, min(len(samples), budget // each)), keep=whole <= budget)


def _bytes_a_sample(loss_sum: LossSum, one: Mapping[str, Tensor], samples: Samples, names: Sequence[str]) -> int:
    few, more = (Samples(samples.x[:count], samples.y[:count]) for count in PROBED)
    try:
        grown = _graph_bytes(loss_sum, one, more, names) - _graph_bytes(loss_sum, one, few, names)
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
        return max(1, sum(OUTPUTS_KEPT * tensor.shape[1] * tensor.element_size() for tensor in one.values()))
    return max(1, grown // max(1, len(more) - len(few)))


def _graph_bytes(loss_sum: LossSum, population: Mapping[str, Tensor], samples: Samples, names: Sequence[str]) -> int:
    """Bytes of the tensors that the graph of a gradient keeps."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def give(tensor: Any) -> Any:
        return tensor

    parameters = {name: population[name].detach().clone().requires_grad_() for name in names}
    with torch.autograd.graph.saved_tensors_hooks(note, give):
        loss = loss_sum({**population, **parameters}, samples).sum()
        torch.autograd.grad(loss, list(parameters.values()), create_graph=True, materialize_grads=True)
    return sum(kept.values())
