"""The diagonal of a model's Fisher information."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import log_softmax, one_hot

from zoo.population import Samples
from zoo.randomness import generator

SAMPLES_AT_ONCE = 64
DRAWS = 8
"""Texts that are drawn for each text."""


def diagonal_fisher(
    module: nn.Module, weights: Mapping[str, Tensor], samples: Samples, *, empirical: bool = False
) -> dict[str, Tensor]:
    """Mean squared gradient of the log-likelihood over samples, for each parameter.

    F = mean over x of sum over c of p(c|x) (d log p(c|x) / d theta)^2; with `empirical` the sample's own class
    alone stands for the sum. For texts, which have a class at each place, the sum over everything that could stand
    there is estimated, without bias, from texts drawn from the model's own distributions. Buffers have none.

    Args:
        module: A classifier, as in `zoo.population.forward`.
        weights: Tensors of one model.
        samples: Images or points with a class each, or texts.
        empirical: Take the classes of the data instead of the model's own distribution.

    Source:
        Matena and Raffel 2022, https://arxiv.org/abs/2111.09832, section 3.
    """
    trained = {name: weights[name] for name, _ in module.named_parameters()}
    held = {name: tensor for name, tensor in weights.items() if name not in trained}

    def log_likelihood(parameters: Mapping[str, Tensor], x: Tensor, chosen: Tensor) -> Tensor:
        logits: Tensor = functional_call(module, {**held, **parameters}, (x[None],))
        return (log_softmax(logits[0], dim=-1) * chosen).sum()

    def probabilities(x: Tensor) -> Tensor:
        logits: Tensor = functional_call(module, {**held, **trained}, (x,))
        return logits.softmax(dim=-1)

    source = generator("Fisher information", 0)
    each = vmap(grad(log_likelihood), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in trained.items()}
    batches = zip(torch.split(samples.x, SAMPLES_AT_ONCE), torch.split(samples.y, SAMPLES_AT_ONCE), strict=True)
    with torch.no_grad():
        for x, y in batches:
            own = probabilities(x)
            for classes, share in [(y, torch.ones(len(y)))] if empirical else _outcomes(own, source):
                chosen = one_hot(classes, own.shape[-1]).to(own.dtype)
                for name, gradient in each(trained, x, chosen).items():
                    total[name] += torch.einsum("n...,n->...", gradient.double().square(), share.double())
    return {name: (tensor / len(samples)).float() for name, tensor in total.items()}


def _outcomes(own: Tensor, source: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Classes `[n, ...]` that samples could have and how much they count `[n]`: all, or some that are drawn."""
    if own.ndim == 2:
        for label in range(own.shape[-1]):
            yield torch.full(own.shape[:1], label), own[:, label]
        return
    for _ in range(DRAWS):
        drawn = torch.multinomial(own.flatten(0, -2), 1, generator=source)
        yield drawn.reshape(own.shape[:-1]), torch.full(own.shape[:1], 1 / DRAWS)
