"""Activation matching: units are matched by what they do on the same samples."""

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from learners.soups.alignment.matching import Compared, Match, match
from learners.soups.alignment.operations import LOOKED_AT
from learners.soups.alignment.specification import Specification, View, factored, factors

DEAD = 1e-12
"""Units whose deviation is less than this never change."""


def activation_matching(
    module: nn.Module,
    specification: Specification,
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    x: Tensor,
    seeds: int = 1,
) -> Match:
    """Find how the second network's units have to be moved for its activations to correlate best with the first's.

    Each unit's activations are brought to mean 0 and variance 1 over samples and places, so that the sum of Pearson
    correlations is what grows.

    Args:
        module: How both compute, as in `zoo.population.forward`.
        specification: What `permutations_of` gives of it.
        first: Tensors of a model by name.
        second: Those of the model that is to be moved.
        x: Samples `[n, ...]`, some hundreds.
        seeds: Orders of groups that are tried; the best result counts.

    Source:
        Li et al. 2016, Convergent Learning, https://arxiv.org/abs/1511.07543; Ainsworth et al. 2023, section 3.1.
    """
    views = {str(place): view for place, view in specification.activations.items()}
    mine, theirs = (activations(module, weights, x, specification) for weights in (first, second))
    standard = [
        {name: _standardised(tensors[int(name)], view) for name, view in views.items()} for tensors in (mine, theirs)
    ]
    return match(specification, Compared(standard[0], standard[1], views), seeds)


@torch.no_grad()
def activations(
    module: nn.Module, weights: Mapping[str, Tensor], x: Tensor, specification: Specification
) -> dict[int, Tensor]:
    """Results of the operations after which units are looked at, by their number."""
    recorder = _Recorder(set(specification.activations))
    with recorder:
        functional_call(module, dict(weights), (x,))
    return recorder.kept


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's modes have no types
    """Keeps the results of operations of certain numbers."""

    def __init__(self, numbers: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers, self.count = numbers, 0
        self.kept: dict[int, Tensor] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: Mapping[str, Any] | None = None
    ) -> Any:
        out = function(*arguments, **(keywords or {}))
        if function.overloadpacket.__name__ in LOOKED_AT:
            if self.count in self.numbers:
                self.kept[self.count] = (out if isinstance(out, Tensor) else out[0]).clone()
            self.count += 1
        return out


def _standardised(tensor: Tensor, view: View) -> Tensor:
    """Mean 0 and variance 1 for each unit; what never changes is 0."""
    parts = factored(tensor.double(), view)
    over = [place for place, factor in enumerate(factors(view)) if factor.group is None]
    centred = parts - parts.mean(dim=over, keepdim=True)
    spread = centred.square().mean(dim=over, keepdim=True).sqrt()
    count = prod(parts.shape[place] for place in over)
    scaled: Tensor = centred / torch.where(spread > DEAD, spread, torch.inf) / count**0.5
    return scaled.reshape(tensor.shape)
