"""The trace of many Hessians by random probes: Hutchinson's estimator, stopping at a requested error."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from learners.landscape.curvature.lanczos import Operator
from learners.landscape.curvature.probes import rademacher
from learners.landscape.student import widening

FEWEST_PROBES = 9
GROWTH = 1.25
"""How many more probes each look at the error has than the one before: every look is a chance to stop by luck."""


@dataclass(frozen=True)
class Trace:
    """An estimate of each trace, float64.

    Attributes:
        value: `[N]`.
        standard_error: `[N]`; that of the rounding where the trace is exact. It is wider than that of the mean by what
            Student's t asks of so few probes, so that 1.96 of it to either side cover the trace 95 times in a hundred.
        probes: Random vectors that it rests on.
        products: Products that it took, those of a sketch included.
    """

    value: Tensor
    standard_error: Tensor
    probes: int
    products: int


def hutchinson(
    operator: Operator,
    like: Tensor,
    probes: int = 100,
    tolerance: float = 0.0,
    seed: int = 0,
    around: Tensor | None = None,
) -> Trace:
    """Estimate tr H as the mean of v' H v over vectors v of random signs.

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        probes: Random vectors at most.
        tolerance: Stop once the standard error of each trace is below this share of it; 0: use all probes. At least
            nine are used, and the error is looked at a few times only, so that an estimate does not stop by luck.
        seed: Of the probes.
        around: Orthonormal rows `[N, m, P]` whose space is left out: the trace is that on its complement.

    Source:
        Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix".
    """
    nothing = torch.zeros(like.shape[0], 0, dtype=torch.float64, device=like.device)
    return _probed(operator, rademacher(like, probes, seed), around, nothing, 0, tolerance)


def hutch_plus_plus(
    operator: Operator, like: Tensor, probes: int = 30, sketch: int = 15, tolerance: float = 0.0, seed: int = 0
) -> Trace:
    """Estimate tr H exactly on the space that a sketch spans and by probes on its complement.

    Where a few large eigenvalues make up the trace its error falls like 1 / products, and Hutchinson's like the root.

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        probes: Random vectors at most, on the complement.
        sketch: Vectors of the sketch; they take two products each.
        tolerance: As in `hutchinson`, of the whole trace.
        seed: Of sketch and probes.

    Source:
        Meyer, Musco, Musco and Woodruff 2021, "Hutch++: optimal stochastic trace estimation".
    """
    sketch = min(sketch, like.shape[1])
    images = operator_on_each(operator, rademacher(like, sketch, seed + 1))
    basis = torch.linalg.qr(images.mT).Q.mT
    inside = (operator_on_each(operator, basis) * basis).sum(dim=2).double()
    return deflated(operator, like, basis, inside, 2 * sketch, probes, tolerance, seed)


def deflated(
    operator: Operator,
    like: Tensor,
    basis: Tensor,
    inside: Tensor,
    spent: int,
    probes: int,
    tolerance: float = 0.0,
    seed: int = 0,
) -> Trace:
    """Add to the exact trace `inside` of a space an estimate of that on its complement.

    Args:
        operator: Products of N symmetric matrices.
        like: A tensor `[N, P]` of their shape, type and device.
        basis: Orthonormal rows `[N, m, P]`; they must not depend on the probes.
        inside: Their quadratic forms `[N, m]`, float64, which add up to the trace on their space.
        spent: Products that the basis has taken.
        probes: Random vectors at most.
        tolerance: As in `hutchinson`, of the whole trace.
        seed: Of the probes.
    """
    if basis.shape[1] >= like.shape[1]:
        return Trace(inside.sum(dim=1), _rounding(inside, like), 0, spent)
    return _probed(operator, rademacher(like, probes, seed), basis, inside, spent, tolerance)


def operator_on_each(operator: Operator, vectors: Tensor) -> Tensor:
    """Multiply with several vectors each, `[N, k, P]`."""
    return torch.stack([operator(vector) for vector in vectors.unbind(dim=1)], dim=1)


def _quadratic_forms(operator: Operator, vectors: Tensor, around: Tensor | None) -> tuple[Tensor, Tensor]:
    """v' H v of vectors `[N, k, P]`, of what they have outside of a space, and the sums of its terms' sizes.

    Both are `[N, k]`, float64.
    """
    if around is not None:
        vectors = vectors - (vectors @ around.mT) @ around
    terms = operator_on_each(operator, vectors) * vectors
    return terms.sum(dim=2).double(), terms.abs().sum(dim=2).double()


def _probed(
    operator: Operator, vectors: Tensor, around: Tensor | None, inside: Tensor, spent: int, tolerance: float
) -> Trace:
    """The trace `inside` and the mean over probes `[N, k, P]`, as many of them as the tolerance asks for."""
    found = torch.zeros(len(vectors), 0, dtype=torch.float64, device=vectors.device)
    sizes = found
    for block in _looks(vectors):
        forms, terms = _quadratic_forms(operator, block, around)
        found, sizes = torch.cat([found, forms], dim=1), torch.cat([sizes, terms], dim=1)
        rounding = _rounding(inside, vectors) + _rounding(sizes.mean(dim=1, keepdim=True), vectors)
        error, count = torch.hypot(_error(found), rounding), found.shape[1]
        estimate = Trace(found.mean(dim=1) + inside.sum(dim=1), error, count, spent + count)
        good = estimate.standard_error <= tolerance * estimate.value.abs()
        if bool((good | ~estimate.value.isfinite()).all()):  # a diverged network never gets there
            break
    return estimate


def _rounding(terms: Tensor, like: Tensor) -> Tensor:
    """What rounding may do to a sum of terms `[N, m]` that were computed in the type of `like`, `[N]`."""
    return torch.finfo(like.dtype).eps * terms.abs().sum(dim=1)


def _looks(vectors: Tensor) -> Iterator[Tensor]:
    """The probes in blocks, each up to the next look at the error."""
    begin, end, probes = 0, FEWEST_PROBES, vectors.shape[1]
    while begin < probes:
        yield vectors[:, begin:end]
        begin, end = end, max(end + 1, int(end * GROWTH))


def _error(found: Tensor) -> Tensor:
    count = found.shape[1]
    if count < 2:
        return torch.full_like(found[:, 0], torch.nan)
    error: Tensor = found.std(dim=1) / count**0.5 * widening(count)
    return error
