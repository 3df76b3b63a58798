"""Means over pairs of models, and whether pairs inside groups cost less than pairs across, with honest errors.

Pairs are not independent: each model takes part in many. So errors are those of drawing other models, by leaving out
one model after the other, and the test shuffles models between groups, not pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError

Matrix = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Contrast:
    """Mean penalty inside groups and across them, the difference (across minus inside), and how sure it is."""

    inside: float
    across: float
    difference: float
    standard_error: float
    """Of the difference, by leaving out one model after the other."""
    p_value: float
    """Share of shuffles of the models between groups whose difference is at least as far from zero."""
    pairs_inside: int
    pairs_across: int


def mean_of_pairs(penalty: Matrix) -> tuple[float, float]:
    """Mean over pairs of different models of a matrix `[N, N]`, and its standard error; NaN with fewer than three.

    Pairs that are NaN are left out.
    """
    pairs = _between(penalty)
    return _mean(pairs), _jackknife(len(pairs), lambda kept: _mean(pairs[kept][:, kept]))


def contrast(penalty: Matrix, groups: Sequence[object], shuffles: int = 10_000, seed: int = 0) -> Contrast:
    """Compare pairs of models of one group with pairs of models of two.

    Args:
        penalty: `[N, N]`, fronts down, ends across; NaN where there is none.
        groups: The group of each model.
        shuffles: How often the models are shuffled for the test.
        seed: Of the shuffles.

    Raises:
        UsageError: There is no pair inside a group, or none across.
    """
    pairs = _between(penalty)
    label = np.unique([str(group) for group in groups], return_inverse=True)[1].astype(np.int64)
    inside, across = _parts(pairs, label)
    if not len(inside) or not len(across):
        raise UsageError("groups to compare need pairs inside and across: expected two groups, and two models in one")
    found = _difference(pairs, label)
    source = np.random.default_rng(seed)
    draws = np.array([_difference(pairs, source.permutation(label)) for _ in range(shuffles)])
    extreme = int((np.abs(draws) >= abs(found) * (1 - 1e-9)).sum())
    return Contrast(
        inside=float(inside.mean()),
        across=float(across.mean()),
        difference=found,
        standard_error=_jackknife(len(pairs), lambda kept: _difference(pairs[kept][:, kept], label[kept])),
        p_value=(extreme + 1) / (shuffles + 1),
        pairs_inside=len(inside),
        pairs_across=len(across),
    )


def _between(penalty: Matrix) -> Matrix:
    """Only pairs of different models: NaN on the diagonal."""
    pairs = penalty.copy()
    np.fill_diagonal(pairs, np.nan)
    return pairs


def _parts(pairs: Matrix, label: Numbers) -> tuple[Matrix, Matrix]:
    same, known = label[:, None] == label[None, :], ~np.isnan(pairs)
    return pairs[same & known], pairs[~same & known]


def _difference(pairs: Matrix, label: Numbers) -> float:
    inside, across = _parts(pairs, label)
    return float(across.mean() - inside.mean()) if len(inside) and len(across) else float("nan")


def _mean(pairs: Matrix) -> float:
    known = pairs[~np.isnan(pairs)]
    return float(known.mean()) if len(known) else float("nan")


def _jackknife(models: int, estimate: Callable[[Numbers], float]) -> float:
    """Standard error of an estimate from a set of models, by leaving out each in turn (Efron and Stein, 1981)."""
    if models < 3:
        return float("nan")
    everybody = np.arange(models, dtype=np.int64)
    left = np.array([estimate(np.delete(everybody, number)) for number in everybody])
    return float(np.sqrt((models - 1) / models * ((left - left.mean()) ** 2).sum()))
