"""The diagonal of a model's Fisher information."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import log_softmax, one_hot

from zoo.population import Samples

SAMPLES_AT_ONCE = 64


def diagonal_fisher(
    module: nn.Module, weights: Mapping[str, Tensor], samples: Samples, *, empirical: bool = False
) -> dict[str, Tensor]:
    """Mean squared gradient of the log-likelihood over samples, for each parameter.

    F = mean over x of sum over c of p(c|x) (d log p(c|x) / d theta)^2; with `empirical` the sample's own class
    alone stands for the sum. Buffers have none.

    Args:
        module: A classifier, as in `zoo.population.forward`.
        weights: Tensors of one model.
        samples: Images or points with a class each.
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

    each = vmap(grad(log_likelihood), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in trained.items()}
    batches = zip(torch.split(samples.x, SAMPLES_AT_ONCE), torch.split(samples.y, SAMPLES_AT_ONCE), strict=True)
    with torch.no_grad():
        for x, y in batches:
            own = probabilities(x)
            shares = one_hot(y, own.shape[-1]).to(own.dtype) if empirical else own
            for label in range(shares.shape[-1]):
                chosen = one_hot(torch.full_like(y, label), shares.shape[-1]).to(own.dtype)
                for name, gradient in each(trained, x, chosen).items():
                    share = shares[:, label].double()
                    total[name] += torch.einsum("n...,n->...", gradient.double().square(), share)
    return {name: (tensor / len(samples)).float() for name, tensor in total.items()}
