"""Scores of single examples by many models: how wrong the models are on each, and how hard each pulls at them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy, one_hot

from zoo.population import Samples, forward, size

VALUES_AT_ONCE = 4_000_000
"""Gradients' entries that are held at once."""
SAMPLES_AT_ONCE = 256


@torch.no_grad()
def el2n(module: nn.Module, population: Mapping[str, Tensor], samples: Samples) -> Tensor:
    """Euclidean length of predicted probabilities minus the true class's, `[N, n]`, float64.

    Of texts it is the mean over places.

    Source:
        Paul, Ganguli and Dziugaite 2021, "Deep learning on a data diet", definition 2.2.
    """
    pieces = []
    for x, y in _pieces(samples, SAMPLES_AT_ONCE):
        probabilities = forward(module, population, x).double().softmax(dim=-1)
        apart = (probabilities - one_hot(y, probabilities.shape[-1])).norm(dim=-1)
        pieces.append(apart.reshape(*apart.shape[:2], -1).mean(dim=2))
    return torch.cat(pieces, dim=1)


def grand(module: nn.Module, population: Mapping[str, Tensor], names: Sequence[str], samples: Samples) -> Tensor:
    """Euclidean length of each example's gradient of the loss by the parameters `names`, `[N, n]`, float64.

    Source:
        Paul, Ganguli and Dziugaite 2021, "Deep learning on a data diet", definition 2.1.
    """
    held = {name: tensor.detach() for name, tensor in population.items() if name not in set(names)}
    parameters = {name: population[name].detach() for name in names}

    def loss(weights: Mapping[str, Tensor], others: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(module, {**weights, **others}, (x.unsqueeze(0),))
        return cross_entropy(logits.flatten(0, -2), y.reshape(-1))

    def squared_length(weights: Mapping[str, Tensor], others: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        gradients = grad(loss)(dict(weights), others, x, y)
        return torch.stack([gradient.double().pow(2).sum() for gradient in gradients.values()]).sum()

    of_examples = vmap(squared_length, in_dims=(None, None, 0, 0))
    of_models = vmap(of_examples, in_dims=(0, 0, None, None))
    dimension = sum(tensor[0].numel() for tensor in parameters.values())
    at_once = max(1, VALUES_AT_ONCE // (dimension * size(population)))
    pieces = [of_models(parameters, held, x, y).sqrt().detach() for x, y in _pieces(samples, at_once)]
    return torch.cat(pieces, dim=1)


def _pieces(samples: Samples, at_once: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(samples.x, at_once), torch.split(samples.y, at_once), strict=True))
