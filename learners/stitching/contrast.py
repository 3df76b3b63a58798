"""Means over pairs of models, and whether pairs inside groups cost less than pairs across, with honest errors.

Pairs are not independent: each model takes part in many. So errors are those of drawing other models, by leaving out
one model after the other and by the bootstrap over models, and the test shuffles models between groups, not pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError

Matrix = NDArray[np.float64]
Numbers = NDArray[np.int64]
NOTHING = 1e-12
STILL, TURNS = 1e-9, 500
"""When taking away means by turns has come to its end, and when it is ended at the latest."""


@dataclass(frozen=True)
class Contrast:
    """Mean penalty inside groups and across them, the difference (across minus inside), and how sure it is."""

    inside: float
    across: float
    difference: float
    """With strata their weighted mean, which is not the difference of the two means."""
    low: float
    """Of the 95 % interval of the difference, by the bootstrap over models."""
    high: float
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
    return _mean(pairs), _jackknife(np.arange(len(pairs)), lambda kept: _mean(pairs[kept][:, kept]))


def contrast(
    penalty: Matrix,
    groups: Sequence[object],
    *,
    strata: Sequence[object] | None = None,
    sides: bool = False,
    clusters: Sequence[object] | None = None,
    shuffles: int = 10_000,
    draws: int = 2_000,
    seed: int = 0,
) -> Contrast:
    """Compare pairs of models of one group with pairs of models of two.

    Args:
        penalty: `[N, N]`, fronts down, ends across; NaN where there is none, or where a pair is not to count.
        groups: The group of each model.
        strata: Something else that each model has, its width say: pairs are then compared only with pairs whose fronts
            are of one stratum and whose ends are of one stratum, and models are shuffled within theirs.
        sides: Take away what each front and each end costs with all others, so that only what the two have to do with
            each other is left: a front that sees little costs much wherever it goes, and if most models of a group
            are such, so do the group's pairs.
        clusters: Models that are drawn, left out and shuffled together, as they have their group in common; each is
            alone without it.
        shuffles: How often the models are shuffled for the test.
        draws: Draws of the bootstrap.
        seed: Of both.

    Raises:
        UsageError: There is no pair inside a group, or none across, that could be compared.
    """
    everybody = list(range(len(penalty)))
    pairs = _Pairs(_between(penalty), _numbered(strata or [0] * len(everybody)), sides)
    label, cluster = _numbered(groups), _numbered(clusters or everybody)
    ones = np.ones(len(everybody))
    found = pairs.difference(label, ones)
    if np.isnan(found):
        raise UsageError("groups to compare need pairs inside and across: expected two groups, and two models in one")
    same, known = label[:, None] == label[None, :], ~np.isnan(pairs.penalty)
    inside, across = pairs.penalty[same & known], pairs.penalty[~same & known]
    source = np.random.default_rng(seed)
    shuffled = [pairs.difference(_shuffled(label, cluster, pairs.stratum, source), ones) for _ in range(shuffles)]
    times = source.multinomial(int(cluster.max()) + 1, np.full(cluster.max() + 1, 1 / (cluster.max() + 1)), size=draws)
    drawn = np.array([pairs.difference(label, count[cluster].astype(np.float64)) for count in times])
    low, high = np.nanquantile(drawn, [0.025, 0.975]).tolist()
    return Contrast(
        inside=float(inside.mean()),
        across=float(across.mean()),
        difference=found,
        low=low,
        high=high,
        standard_error=_jackknife(
            cluster, lambda kept: pairs.difference(label, np.isin(everybody, kept).astype(np.float64))
        ),
        p_value=(int((np.abs(shuffled) >= abs(found) * (1 - 1e-9)).sum()) + 1) / (shuffles + 1),
        pairs_inside=len(inside),
        pairs_across=len(across),
    )


@dataclass(frozen=True)
class _Pairs:
    """Penalties of pairs of different models, `[N, N]`, the stratum of each model, and what is taken away."""

    penalty: Matrix
    stratum: Numbers
    sides: bool

    def difference(self, label: Numbers, times: Matrix) -> float:
        """Mean across minus mean inside, of models that count so many times.

        It is the coefficient of a regression with a constant for each stratum, and for each front and end if these
        are to be taken away (Frisch and Waugh, 1933). Without all that it is the difference of the two means.
        """
        known = ~np.isnan(self.penalty)
        weight = np.where(known, times[:, None] * times[None, :], 0.0)
        across = self._left((label[:, None] != label[None, :]) * 1.0, weight)
        spread = float((weight * across * across).sum())
        if spread <= NOTHING * float(weight.sum()):
            return float("nan")
        return float((weight * across * np.where(known, self.penalty, 0.0)).sum()) / spread

    def _left(self, values: Matrix, weight: Matrix) -> Matrix:
        """What is left of values when all that is taken away has mean zero, by turns (von Neumann, 1949)."""
        strata = self.stratum[:, None] * (int(self.stratum.max()) + 1) + self.stratum[None, :]
        counts = np.maximum(np.bincount(strata.ravel(), weight.ravel()), NOTHING)
        rows, columns = (np.maximum(weight.sum(axis=axis), NOTHING) for axis in (1, 0))
        for _ in range(TURNS if self.sides else 1):
            before = values
            values = values - (np.bincount(strata.ravel(), (weight * values).ravel()) / counts)[strata]
            if self.sides:
                values = values - ((weight * values).sum(axis=1) / rows)[:, None]
                values = values - ((weight * values).sum(axis=0) / columns)[None, :]
            if np.abs(values - before).max() < STILL:
                break
        return values


def _numbered(values: Sequence[object]) -> Numbers:
    return np.unique([str(value) for value in values], return_inverse=True)[1].astype(np.int64)


def _shuffled(label: Numbers, cluster: Numbers, stratum: Numbers, source: np.random.Generator) -> Numbers:
    """Labels that have changed places between clusters of one stratum."""
    first = np.unique(cluster, return_index=True)[1]
    own, where = label[first].copy(), stratum[first]
    for each in np.unique(where):
        own[where == each] = source.permutation(own[where == each])
    shuffled: Numbers = own[cluster]
    return shuffled


def _between(penalty: Matrix) -> Matrix:
    """Only pairs of different models: NaN on the diagonal."""
    pairs = penalty.copy()
    np.fill_diagonal(pairs, np.nan)
    return pairs


def _mean(pairs: Matrix) -> float:
    known = pairs[~np.isnan(pairs)]
    return float(known.mean()) if len(known) else float("nan")


def _jackknife(cluster: Numbers, estimate: Callable[[Numbers], float]) -> float:
    """Standard error of an estimate from a set of models, by leaving out each cluster (Efron and Stein, 1981)."""
    count = len(np.unique(cluster))
    if count < 3:
        return float("nan")
    left = np.array([estimate(np.flatnonzero(cluster != number)) for number in range(count)])
    return float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum()))
