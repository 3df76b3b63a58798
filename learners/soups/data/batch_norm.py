"""Estimates batch-norm statistics of merged weights anew: means of merged models are not merged means."""

from collections.abc import Iterable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from zoo.population import Samples

BATCH = 256
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def has_statistics(names: Iterable[str]) -> bool:
    """Whether there are running statistics among the names of a model's tensors."""
    return any(name.endswith(STATISTICS) for name in names)


def reestimate(
    module: nn.Module, weights: Mapping[str, Tensor], samples: Samples, batch: int = BATCH
) -> dict[str, Tensor]:
    """Give the weights with running means and variances of batches of the samples; the rest is as it was.

    Args:
        module: The architecture, which may have no values.
        weights: Tensors of one model.
        samples: Training samples, in whose order they go; a last batch of a single sample is left out.
        batch: Samples that go through at once.

    Source:
        Izmailov et al. 2018, https://arxiv.org/abs/1803.05407, section 3.2; by torch.optim.swa_utils.update_bn.
    """
    filled = deepcopy(module)
    filled.load_state_dict({name: tensor.clone() for name, tensor in weights.items()}, assign=True)
    update_bn([x for x in torch.split(samples.x, batch) if len(x) > 1], filled)
    state = filled.state_dict()
    return {name: state[name].detach().clone() for name in weights}


def lack_of_data(names: Iterable[str]) -> str | None:
    """What to say of merged weights, by the names of their tensors, whose statistics could not be estimated anew."""
    if not has_statistics(names):
        return None
    return "its batch-norm statistics are merged, not estimated anew, for want of data: they are those of no network"
