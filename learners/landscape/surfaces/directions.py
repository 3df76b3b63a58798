"""Directions from many models in which their losses are looked at: random ones, Adam's, and those of the Hessian."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from learners.landscape.curvature.batches import batches
from learners.landscape.curvature.eigenvalues import extreme_eigenvalues
from learners.landscape.curvature.loss import cross_entropy_sum
from learners.landscape.curvature.products import HessianProducts
from zoo.population import Samples, Weights, flatten, forward, losses, size, unflatten
from zoo.randomness import generator

BETAS = (0.9, 0.999)
EPSILON = 1e-8
TOLERANCE = 1e-3

Directions = list[Weights]
"""Parameters `[N, ...]` by name, for each axis."""


def random_directions(parameters: Mapping[str, Tensor], count: int, seed: int = 0) -> Directions:
    """Standard normal directions, the same ones for each model of a shape."""
    return [
        {
            name: torch.randn(tensor.shape[1:], generator=generator(f"direction {name}", seed, axis))
            .to(tensor)
            .expand_as(tensor)
            for name, tensor in parameters.items()
        }
        for axis in range(count)
    ]


def adam_directions(
    module: nn.Module,
    population: Mapping[str, Tensor],
    names: Sequence[str],
    samples: Samples,
    count: int,
    batch_size: int = 128,
    steps: int = 40,
    seed: int = 0,
) -> Directions:
    """The step that Adam would take: its first moment over the root of its second one, gathered where the model is.

    Moments go over `steps` batches with the weights held, so that a model needs no optimiser's state. The second axis
    is that of other batches, made orthogonal to the first.

    Args:
        module: How to compute; a skeleton in evaluation mode.
        population: Weights `[N, ...]`, buffers included.
        names: Parameters.
        samples: What batches are drawn from.
        count: Axes.
        batch_size: Samples of a batch.
        steps: Batches.
        seed: Of batches.

    Source:
        Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """
    found: list[Tensor] = []
    shapes = {name: population[name].shape[1:] for name in names}
    for axis in range(count):
        source = generator("adam direction", seed, axis)
        first = second = torch.zeros_like(flatten({name: population[name] for name in names}))
        for _ in range(steps):
            chosen = torch.randint(len(samples), (min(batch_size, len(samples)),), generator=source)
            gradient = _gradient(module, population, names, Samples(samples.x[chosen], samples.y[chosen]))
            first = BETAS[0] * first + (1 - BETAS[0]) * gradient
            second = BETAS[1] * second + (1 - BETAS[1]) * gradient**2
        unbiased = (first / (1 - BETAS[0] ** steps), second / (1 - BETAS[1] ** steps))
        step = -unbiased[0] / (unbiased[1].sqrt() + EPSILON)
        for other in found:
            share = (step * other).sum(dim=1) / (other * other).sum(dim=1).clamp_min(torch.finfo(step.dtype).tiny)
            step = step - share.unsqueeze(1) * other
        found.append(step)
    return [unflatten(step, shapes) for step in found]


def _gradient(module: nn.Module, population: Mapping[str, Tensor], names: Sequence[str], batch: Samples) -> Tensor:
    parameters = {name: population[name].detach().clone().requires_grad_() for name in names}
    loss = losses(forward(module, {**population, **parameters}, batch.x), batch.y).flatten(1).mean(dim=1).sum()
    gradients = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
    return flatten(dict(zip(names, gradients, strict=True)))


def hessian_directions(
    module: nn.Module,
    population: Mapping[str, Tensor],
    names: Sequence[str],
    samples: Samples,
    count: int,
    steps: int = 40,
    seed: int = 0,
) -> Directions:
    """Eigenvectors of the Hessian's largest eigenvalues, of length one; arguments as `adam_directions`.

    Source:
        Yao et al. 2020, "PyHessian: neural networks through the lens of the Hessian", section 4.2.
    """
    loss_sum, shapes = cross_entropy_sum(module), {name: population[name].shape[1:] for name in names}
    cut, found = batches(loss_sum, population, samples, names), []
    for begin in range(0, size(population), cut.members):
        part = {name: tensor[begin : begin + cut.members] for name, tensor in population.items()}
        products = HessianProducts(loss_sum, part, samples, names, samples_at_once=cut.samples, keep=cut.keep)
        like = products.like.new_zeros(products.size, products.dimension)
        found.append(extreme_eigenvalues(products, like, count, steps, TOLERANCE, seed).vectors)
    vectors = torch.cat(found)
    return [unflatten(vectors[:, axis], shapes) for axis in range(count)]
