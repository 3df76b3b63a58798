"""Loss and error at points of a path between two models each, statistics of normalising layers estimated anew."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.population import Samples, Weights, forward, losses, samples_at_once, size
from zoo.randomness import generator

POINTS = 21
SAMPLES_AT_ONCE = 512
ROUNDING = 1e-12
"""Percentage points that errors differ by which are the same."""

Path = Callable[[float], Weights]
"""Parameters of all pairs at a place from 0 to 1, `[pairs, ...]` by name."""


@dataclass(frozen=True)
class Profile:
    """What a path goes through, float64.

    Attributes:
        places: From 0 to 1, `[T]`.
        losses: Loss of each sample in nats, `[pairs, T, n]`; of a text the mean over its places. NaN where outputs are
            not finite.
        wrong: Which predictions are wrong, in percentage points (0 or 100; of a text the mean), `[pairs, T, n]`.
    """

    places: Tensor
    losses: Tensor
    wrong: Tensor

    @property
    def loss(self) -> Tensor:
        """Mean loss in nats, `[pairs, T]`."""
        return self.losses.mean(dim=2)

    @property
    def error(self) -> Tensor:
        """Share of wrong predictions in percentage points, `[pairs, T]`."""
        return self.wrong.mean(dim=2)

    @property
    def loss_error(self) -> Tensor:
        """Standard error of `loss` over the samples."""
        error: Tensor = self.losses.std(dim=2) / self.losses.shape[2] ** 0.5
        return error

    @property
    def error_error(self) -> Tensor:
        """Standard error of `error` over the samples."""
        error: Tensor = self.wrong.std(dim=2) / self.wrong.shape[2] ** 0.5
        return error

    @property
    def connectivity(self) -> Tensor:
        """`connectivity_of` the path's error, `[pairs]`."""
        return connectivity_of(self.error)

    @property
    def barrier(self) -> Tensor:
        """How far the error rises above the straight line between the ends' errors, in percentage points, `[pairs]`.

        Source:
            Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis".
        """
        return self._barrier(self.error)

    def barrier_error(self, draws: int, seed: int) -> Tensor:
        """Standard error of `barrier` over the samples, `[pairs]`, by drawing them anew, the same for all places.

        NaN for a single draw.
        """
        count, source = self.wrong.shape[2], generator("barrier", seed)
        each = []
        for _ in range(draws):
            times = torch.bincount(torch.randint(count, (count,), generator=source), minlength=count)
            each.append(self._barrier(self.wrong @ times.to(self.wrong) / count))
        return torch.stack(each).std(dim=0) if draws > 1 else torch.full_like(self.barrier, torch.nan)

    def _barrier(self, error: Tensor) -> Tensor:
        between = error[:, :1] + (error[:, -1:] - error[:, :1]) * self.places
        return (error - between).max(dim=1).values

    @property
    def peak(self) -> Tensor:
        """The place at which the error is largest, `[pairs]`; NaN where it is not known everywhere."""
        return peak_of(self.error, self.places)


def deviations(error: Tensor) -> tuple[Tensor, Tensor]:
    """How far an error falls below the mean of the ends' errors, and how far it rises above, `[pairs, T]` to `[pairs]`.

    Percentage points, 0 or more; NaN where the error is not known everywhere.
    """
    apart = (error[:, :1] + error[:, -1:]) / 2 - error
    return apart.max(dim=1).values.clamp_min(0), -apart.min(dim=1).values.clamp_max(0)


def connectivity_of(error: Tensor) -> Tensor:
    """Mean of the ends' error minus the path's where that deviates most, percentage points, `[pairs, T]` to `[pairs]`.

    Negative is a barrier. A path that deviates as far to both sides, as one does that leads straight from the worse end
    to the better one, has 0, the mean of both. NaN where the error is not known everywhere.

    Source:
        Yang et al. 2021, "Taxonomizing local versus global structure in neural network loss landscapes", eq. (3).
    """
    below, above = deviations(error)
    even = ((below - above).abs() <= ROUNDING) & (below > ROUNDING)
    return torch.where(below > above, below, -above).masked_fill(even, 0.0) + 0.0


def peak_of(error: Tensor, places: Tensor) -> Tensor:
    """The place at which the error is largest, `[pairs, T]` and `[T]` to `[pairs]`; NaN where it is not known."""
    return places[error.argmax(dim=1)].where(error.isfinite().all(dim=1), torch.nan)


def profile(
    module: nn.Module, path: Path, buffers: Mapping[str, Tensor], samples: Samples, points: int = POINTS
) -> Profile:
    """Follow paths of many pairs at once.

    Args:
        module: How to compute; a skeleton in evaluation mode.
        path: The paths.
        buffers: Other tensors of the networks, `[pairs, ...]`; running statistics are estimated anew at each place.
        samples: What loss and error are measured on.
        points: Places.
    """
    places = torch.linspace(0, 1, points, dtype=torch.float64)
    each = []
    for place in places.tolist():
        parameters = path(place)
        each.append(_scored(module, parameters | re_estimated(module, parameters, buffers, samples), samples))
    losses_of, wrong = (torch.stack([pair[part] for pair in each], dim=1) for part in (0, 1))
    return Profile(places.to(losses_of.device), losses_of, wrong)


@torch.no_grad()
def _scored(module: nn.Module, weights: Mapping[str, Tensor], samples: Samples) -> tuple[Tensor, Tensor]:
    """Loss and wrongness of each sample, `[pairs, n]`, float64."""
    count, each, chunk = size(weights), [], samples_at_once(module, weights, samples.x)
    for x, y in zip(*(torch.split(t, chunk) for t in (samples.x, samples.y)), strict=True):
        logits = forward(module, weights, x)
        finite = logits.isfinite().all(dim=-1)
        both = losses(logits, y).double(), 100.0 * (logits.argmax(dim=-1) != y).double()
        each.append(torch.stack([t.where(finite, torch.nan).reshape(count, len(y), -1).mean(dim=2) for t in both]))
    found = torch.cat(each, dim=2)
    return found[0], found[1]


def re_estimated(
    module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], samples: Samples
) -> Weights:
    """Buffers with running means and variances of batch normalisation as these parameters have them on the samples."""
    fresh = {name: tensor.clone() for name, tensor in buffers.items()}
    learner = batch_statistics(module)
    layers = [layer for layer in learner.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        return fresh
    seen = 0
    with torch.no_grad():
        for x in torch.split(samples.x, SAMPLES_AT_ONCE):
            seen += len(x)
            for layer in layers:
                layer.momentum = len(x) / seen  # so that running values are means over all that was seen
            forward(learner, {**parameters, **fresh}, x)
    return fresh


def batch_statistics(module: nn.Module) -> nn.Module:
    """A copy whose layers of batch normalisation use and note the statistics of each batch, and nothing is dropped."""
    learner = deepcopy(module).eval()
    for layer in learner.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
    return learner
