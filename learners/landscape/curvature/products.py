"""Products of the Hessians of all members with a vector for each: double backward over one stacked graph."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from learners.landscape.curvature.loss import LossSum
from zoo.population import Samples, Weights, flatten, size, unflatten

Gradient = tuple[Weights, tuple[Tensor, ...]]


class HessianProducts:
    """Multiplies the Hessian of each member's mean loss with vectors: `[N, P]` in, `[N, P]` out.

    The Hessian is that of the parameters in `names` with all others held, so that it is a diagonal block of the whole
    one. The graph of the gradient is built once and used for all products where `keep` allows the memory; otherwise it
    is built anew for every product, piece by piece, and memory does not grow with the samples.

    Source:
        Pearlmutter 1994, "Fast exact multiplication by the Hessian".
    """

    def __init__(
        self,
        loss_sum: LossSum,
        population: Mapping[str, Tensor],
        samples: Samples,
        names: Sequence[str],
        *,
        samples_at_once: int | None = None,
        keep: bool = True,
    ) -> None:
        """Prepare the products.

        Args:
            loss_sum: What is differentiated, see `cross_entropy_sum`.
            population: Weights `[N, ...]`, buffers of normalising layers included.
            samples: What the mean goes over; `y` has an entry for each prediction.
            names: Parameters, in the order in which vectors hold them.
            samples_at_once: Samples of one piece of the graph; without it all.
            keep: Keep the graph.
        """
        self.loss_sum, self.samples = loss_sum, samples
        self.held = {name: tensor.detach() for name, tensor in population.items() if name not in set(names)}
        self.weights = {name: population[name].detach() for name in names}
        self.shapes = {name: tensor.shape[1:] for name, tensor in self.weights.items()}
        self.size, self.dimension = size(self.weights), sum(shape.numel() for shape in self.shapes.values())
        self.at_once = samples_at_once or len(samples)
        self.kept = list(self._gradients()) if keep else None

    @property
    def like(self) -> Tensor:
        """A tensor of the products' type and device."""
        return next(iter(self.weights.values()))

    def __call__(self, vectors: Tensor) -> Tensor:
        """Multiply each member's Hessian with its vector, `[N, P]`; or with several, `[N, k, P]`."""
        if vectors.ndim == 3:
            return torch.stack([self(vector) for vector in vectors.unbind(dim=1)], dim=1)
        directions = list(unflatten(vectors, self.shapes).values())
        total = torch.zeros_like(vectors)
        for parameters, gradients in self.kept if self.kept is not None else self._gradients():
            total += self._product(parameters, gradients, directions)
        return total / self.samples.y.numel()

    def gradient(self) -> Tensor:
        """Each member's gradient of the mean loss, `[N, P]`."""
        total = torch.zeros(self.size, self.dimension, dtype=self.like.dtype, device=self.like.device)
        for _, gradients in self.kept if self.kept is not None else self._gradients():
            total += flatten(dict(zip(self.shapes, (g.detach() for g in gradients), strict=True)))
        return total / self.samples.y.numel()

    def _product(self, parameters: Weights, gradients: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
        known = [(g, d) for g, d in zip(gradients, directions, strict=True) if g.requires_grad]
        if not known:  # the loss is linear in these parameters
            return torch.zeros(self.size, self.dimension, dtype=self.like.dtype, device=self.like.device)
        products = torch.autograd.grad(
            [g for g, _ in known],
            list(parameters.values()),
            [d for _, d in known],
            retain_graph=self.kept is not None,
            materialize_grads=True,
        )
        return flatten(dict(zip(self.shapes, products, strict=True)))

    def _gradients(self) -> Iterator[Gradient]:
        """The gradient of the summed loss over each piece of the samples, with the graph that leads to it."""
        pieces = zip(*(torch.split(part, self.at_once) for part in (self.samples.x, self.samples.y)), strict=True)
        for x, y in pieces:
            parameters = {name: tensor.clone().requires_grad_() for name, tensor in self.weights.items()}
            loss = self.loss_sum(parameters | self.held, Samples(x, y)).sum()
            gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True, materialize_grads=True)
            yield parameters, gradients


def exact_hessian(products: HessianProducts) -> Tensor:
    """The whole Hessian of each member, `[N, P, P]`, by a product with each unit vector."""
    eye = torch.eye(products.dimension, dtype=products.like.dtype, device=products.like.device)
    columns = [products(unit.expand(products.size, -1)) for unit in eye]
    hessian = torch.stack(columns, dim=2)
    return (hessian + hessian.mT) / 2
