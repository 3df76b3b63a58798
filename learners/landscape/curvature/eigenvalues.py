"""The largest and the smallest eigenvalues of many Hessians, by Lanczos."""

from dataclasses import dataclass

import torch
from torch import Tensor

from learners.landscape.curvature.lanczos import LOOK, Krylov, Operator, lanczos
from learners.landscape.curvature.probes import gaussian

STEPS = 40
"""Enough for the largest eigenvalues of small networks to reach rounding."""
NEGLIGIBLE = 1e-2
"""A smallest eigenvalue below this share of the largest one is known to the error that one of this size would have."""


@dataclass(frozen=True)
class Extremes:
    """The ends of each spectrum, float64.

    A value of `top` is never above the eigenvalue of its rank, and `smallest` never below the smallest one. The bounds
    say how far some eigenvalue is at most, and not that it is the one meant: a start vector without a part along it
    would miss it, and of equal eigenvalues one is seen. Random start vectors make the first unlikely.

    Attributes:
        top: The largest eigenvalues, largest first, `[N, k]`.
        top_bound: How far each is at most from some eigenvalue, `[N, k]`: the norm of its residual.
        top_known: Whether its error is within what was asked for, as estimated from the residual, `[N, k]`.
        smallest: The smallest eigenvalue (the most negative one), `[N]`.
        smallest_bound: As `top_bound`, `[N]`.
        smallest_known: As `top_known`, `[N]`.
        vectors: Eigenvectors of `top`, `[N, k, P]`.
        smallest_vector: That of `smallest`, `[N, P]`.
        steps: Products that it took.
    """

    top: Tensor
    top_bound: Tensor
    top_known: Tensor
    smallest: Tensor
    smallest_bound: Tensor
    smallest_known: Tensor
    vectors: Tensor
    smallest_vector: Tensor
    steps: int


def extreme_eigenvalues(
    operator: Operator,
    like: Tensor,
    count: int = 1,
    steps: int = STEPS,
    tolerance: float = 0.0,
    seed: int = 0,
    smallest: bool = True,
) -> Extremes:
    """Find the `count` largest eigenvalues and the smallest one of each operator.

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        count: How many of the largest; 0 to ask for the smallest alone.
        steps: Products at most.
        tolerance: Stop once every end that is asked for is known to this relative error, see `known`; 0: never before
            the last step.
        seed: Of the start vectors.
        smallest: Whether the smallest is asked for; otherwise it is what the others' search has found of it.
    """
    start = gaussian(like, 1, seed)[:, 0]
    found = lanczos(operator, start, steps, lambda krylov: is_known(krylov, count, tolerance, smallest))
    return extremes_of(found, max(1, count), tolerance)


def extremes_of(found: Krylov, count: int, tolerance: float = 0.0) -> Extremes:
    """Read the ends of the spectrum off what Lanczos has found."""
    values, bounds, vectors = found.ritz()[0], found.bounds(), found.vectors()
    count = min(count, values.shape[1])
    top_known, smallest_known = known(found, count, tolerance)
    return Extremes(
        top=values[:, -count:].flip(1),
        top_bound=bounds[:, -count:].flip(1),
        top_known=top_known,
        smallest=values[:, 0],
        smallest_bound=bounds[:, 0],
        smallest_known=smallest_known,
        vectors=vectors[:, -count:].flip(1),
        smallest_vector=vectors[:, 0],
        steps=values.shape[1],
    )


def is_known(found: Krylov, count: int, tolerance: float, smallest: bool = True) -> bool:
    """Whether all operators' ends that are asked for are known; an operator that is not finite has none to wait for."""
    top_known, smallest_known = known(found, min(count, found.basis.shape[1]), tolerance)
    enough = top_known.shape[1] == count and top_known.all(dim=1) & (smallest_known | (not smallest))
    return bool(torch.as_tensor(enough | ~found.ritz()[0].isfinite().all(dim=1)).all())


def known(found: Krylov, count: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Which of the `count` largest eigenvalues are known, largest first `[N, count]`, and whether the smallest is.

    One is known when its residual is within the tolerance, a share of it, at two looks in a row, and it did not move by
    more between them: a Ritz value may come near to an eigenvalue that is not the last, and goes on from there. A
    smallest value near zero has no relative error that could be reached, so it is held against a hundredth of the
    largest one. A space that is exhausted leaves no doubt.
    """
    values, bounds, before = found.ritz()[0], found.bounds(), found.before(LOOK)
    exhausted = found.basis.shape[1] == found.basis.shape[2]
    if exhausted or before is None or before.basis.shape[1] < count:
        settled = torch.full_like(values[:, :1], exhausted, dtype=torch.bool)
        return settled.expand(-1, count), settled[:, 0]
    old, old_bounds = before.ritz()[0], before.bounds()
    worst = [
        torch.maximum(bounds[:, now], old_bounds[:, then]).maximum((values[:, now] - old[:, then]).abs())
        for now, then in ((_top(values, count), _top(old, count)), (slice(1), slice(1)))
    ]
    least = torch.maximum(values[:, 0].abs(), NEGLIGIBLE * values[:, -1].abs())
    top_known = worst[0] <= tolerance * values[:, _top(values, count)].abs()
    return top_known.flip(1), worst[1][:, 0] <= tolerance * least


def _top(values: Tensor, count: int) -> slice:
    """Where the largest of ascending values `[N, m]` stand."""
    return slice(values.shape[1] - count, None)
