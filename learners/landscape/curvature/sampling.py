"""How far figures of curvature on drawn samples are from those on all: by what the pieces of the samples say."""

from collections.abc import Iterator

import torch
from torch import Tensor

from learners.landscape.curvature.products import HessianProducts
from learners.landscape.student import widening
from zoo.population import Samples

PIECES = 10
"""Of the drawn samples, each with a Hessian of its own."""


def piecewise_forms(products: HessianProducts, vectors: Tensor, pieces: int = PIECES) -> Tensor:
    """v' H v for the Hessian of each piece of the samples, `[pieces, N, k]`, float64.

    Args:
        products: Those on all drawn samples.
        vectors: `[N, k, P]`.
        pieces: Of equal size; fewer where there are fewer samples. What is left over counts nothing.
    """
    each = [(products_of(vectors) * vectors).sum(dim=2).double() for products_of in _pieces(products, pieces)]
    return torch.stack(each)


def _pieces(products: HessianProducts, count: int) -> Iterator[HessianProducts]:
    samples = products.samples
    each = max(1, len(samples) // count)
    for begin in range(0, len(samples) - each + 1, each)[:count]:
        piece = Samples(samples.x[begin : begin + each], samples.y[begin : begin + each])
        yield HessianProducts(
            products.loss_sum,
            {**products.held, **products.weights},
            piece,
            list(products.weights),
            samples_at_once=products.at_once,
            keep=products.kept is not None,
        )


def drawing_error(each: Tensor, samples: int, population: int) -> Tensor:
    """Standard error of a figure of drawn samples for that of all of them, `[...]`; 0 where all were drawn.

    Widened by what Student's t asks of so few pieces. Of an eigenvalue the figure of a piece is the quadratic form of
    its vector, and the error is right to first order.

    Args:
        each: The figure of each piece, `[pieces, ...]`, in random order.
        samples: How many were drawn, each once.
        population: From how many.

    Source:
        Cochran 1977, "Sampling Techniques", theorem 2.2, for the share that was not drawn.
    """
    count = len(each)
    if count < 2:
        return torch.full_like(each[0], torch.nan)
    left = max(0.0, 1 - samples / population)
    error: Tensor = each.std(dim=0) / count**0.5 * widening(count) * left**0.5
    return error
