"""The largest and the smallest eigenvalues of many Hessians, by Lanczos."""

from dataclasses import dataclass

import torch
from torch import Tensor

from learners.landscape.curvature.lanczos import Krylov, Operator, lanczos
from learners.landscape.curvature.probes import gaussian

STEPS = 40
"""Enough to reach rounding on small networks."""


@dataclass(frozen=True)
class Extremes:
    """The ends of each spectrum, float64.

    Attributes:
        top: The largest eigenvalues, largest first, `[N, k]`.
        top_bound: How far each may be from an eigenvalue at most, `[N, k]`.
        smallest: The smallest eigenvalue (the most negative one), `[N]`.
        smallest_bound: How far it may be from an eigenvalue at most, `[N]`.
        vectors: Eigenvectors of `top`, `[N, k, P]`.
        steps: Products that it took.
    """

    top: Tensor
    top_bound: Tensor
    smallest: Tensor
    smallest_bound: Tensor
    vectors: Tensor
    steps: int


def extreme_eigenvalues(
    operator: Operator, like: Tensor, count: int = 1, steps: int = STEPS, tolerance: float = 0.0, seed: int = 0
) -> Extremes:
    """Find the `count` largest eigenvalues and the smallest one of each operator.

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        count: How many of the largest.
        steps: Products at most.
        tolerance: Stop once each of the largest is known to this relative error; 0: never before the last step.
        seed: Of the start vectors.
    """
    start = gaussian(like, 1, seed)[:, 0]
    return extremes_of(lanczos(operator, start, steps, lambda found: is_known(found, count, tolerance)), count)


def extremes_of(found: Krylov, count: int) -> Extremes:
    """Read the ends of the spectrum off what Lanczos has found."""
    values, bounds = found.ritz()[0], found.bounds()
    count = min(count, values.shape[1])
    return Extremes(
        top=values[:, -count:].flip(1),
        top_bound=bounds[:, -count:].flip(1),
        smallest=values[:, 0],
        smallest_bound=bounds[:, 0],
        vectors=found.vectors()[:, -count:].flip(1),
        steps=values.shape[1],
    )


def is_known(found: Krylov, count: int, tolerance: float) -> bool:
    """Whether the largest eigenvalues of all operators are known to a relative error.

    The error of a Ritz value is at most its residual, and about the residual squared over the gap to the next
    (Parlett, 1998, section 11.7), which is asked for here; the gap is that between Ritz values.
    """
    values, bounds = found.ritz()[0], found.bounds()
    if values.shape[1] <= count:
        return False
    top, bound = values[:, -count:], bounds[:, -count:]
    gap = (top - values[:, -count - 1 : -1]).clamp_min(torch.finfo(torch.float64).tiny)
    error = torch.minimum(bound, bound**2 / gap)
    return bool((error <= tolerance * top.abs()).all())
