"""Scores of single examples by many models: how wrong the models are on each, and how hard each pulls at them."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy, one_hot

from zoo.population import Samples, Weights, flatten, forward, losses, size

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

    Examples that a network cannot take many of at once by `vmap`, because it looks at their values, go one by one.

    Raises:
        RuntimeError: No parameter has a part in the loss that torch could differentiate.

    Source:
        Paul, Ganguli and Dziugaite 2021, "Deep learning on a data diet", definition 2.1.
    """
    held = {name: tensor.detach() for name, tensor in population.items() if name not in set(names)}
    parameters = {name: population[name].detach() for name in names}

    def one_by_one(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack(
            [_pull(module, parameters, held, Samples(*one)) for one in zip(x[:, None], y[:, None], strict=True)], dim=1
        )

    def together(x: Tensor, y: Tensor) -> Tensor:
        return _pulls(module, parameters, held, Samples(x, y))

    one_by_one(samples.x[:1], samples.y[:1])  # torch.func.grad takes a loss without a gradient for one of gradient 0
    dimension = sum(tensor[0].numel() for tensor in parameters.values())
    at_once = max(1, VALUES_AT_ONCE // (dimension * size(population)))
    pull = together if _runs(together, samples) else one_by_one
    return torch.cat([pull(x, y) for x, y in _pieces(samples, at_once)], dim=1)


def _pull(module: nn.Module, parameters: Weights, held: Weights, one: Samples) -> Tensor:
    """Length of the gradient of one example, `[N]`."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    loss = losses(forward(module, {**leaves, **held}, one.x), one.y).flatten(1).mean(dim=1).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    each = flatten({name: gradient.double() for name, gradient in zip(leaves, gradients, strict=True)})
    lengths: Tensor = each.norm(dim=1)
    return lengths


def _pulls(module: nn.Module, parameters: Weights, held: Weights, samples: Samples) -> Tensor:
    """The same of many at once, `[N, n]`."""

    def loss(weights: Mapping[str, Tensor], others: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(module, {**weights, **others}, (x.unsqueeze(0),))
        return cross_entropy(logits.flatten(0, -2), y.reshape(-1))

    def squared_length(weights: Mapping[str, Tensor], others: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        gradients = grad(loss)(dict(weights), others, x, y)
        return torch.stack([gradient.double().pow(2).sum() for gradient in gradients.values()]).sum()

    of_examples = vmap(squared_length, in_dims=(None, None, 0, 0))
    of_models = vmap(of_examples, in_dims=(0, 0, None, None))
    squares: Tensor = of_models(parameters, held, samples.x, samples.y)
    return squares.sqrt().detach()


def _runs(together: Callable[[Tensor, Tensor], Tensor], samples: Samples) -> bool:
    try:
        together(samples.x[:2], samples.y[:2])
    except RuntimeError:
        return False
    return True


def _pieces(samples: Samples, at_once: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(torch.split(samples.x, at_once), torch.split(samples.y, at_once), strict=True))
