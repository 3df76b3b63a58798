"""Thresholds from a population: where sorted losses bend, between two clusters, and relative to an estimator's null."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learners.landscape.phases.columns import LARGEST, Values
from learners.landscape.phases.rule import Metric, Rule

FEWEST_CELLS = 8
RESAMPLES = 500
SEED = 0


@dataclass(frozen=True)
class Threshold:
    """Where a metric changes its level: at `at`, or at -`at` and `at` if it is a tolerance; and how that was found."""

    at: float
    found: str


def thresholds(rule: Rule, means: Mapping[str, Values], null: float = 0.0) -> dict[str, Threshold]:
    """Give the threshold of each metric of a rule for the cells' means; a metric that cannot have one is left out.

    Args:
        rule: Says how each is found.
        means: By metric a value a cell; what is missing or not finite does not count.
        null: What the CKA estimator scores for models that have nothing to do with each other.
    """
    found: dict[str, Threshold] = {}
    for name, metric in rule.metrics.items():
        values = means.get(name, np.array([]))
        threshold = _threshold(metric, values[np.abs(values) < LARGEST], null if name == "cka" else 0.0)
        if threshold is not None:
            found[name] = threshold
    return found


def _threshold(metric: Metric, values: Values, null: float) -> Threshold | None:
    if metric.tolerance is not None:
        return Threshold(metric.tolerance, "tolerance")
    if metric.calibration is None or len(values) < FEWEST_CELLS or np.ptp(values) == 0:
        return None if metric.threshold is None else Threshold(metric.threshold, "stated")
    if metric.calibration == "ceiling":
        at = null + metric.share * (float(np.quantile(values, metric.quantile)) - null)
    else:
        at = elbow(values) if metric.calibration == "elbow" else otsu(values)
    low, high = metric.within or (-np.inf, np.inf)
    if metric.calibration == "ceiling":
        low, high = null + low * (1 - null), null + high * (1 - null)
    bounded = min(max(at, low), high)
    return Threshold(float(bounded), metric.calibration if bounded == at else f"{metric.calibration}, at its bound")


def elbow(values: Values) -> float:
    """Where the sorted values bend from flat to steep: the median knot of a broken line over resampled values.

    A line with one knot is fitted to the sorted values by least squares, for every knot. One fit jumps when a single
    cell is left out; the median over resamples (Efron, 2014, "Estimation and accuracy after model selection") does not.
    """
    generator = np.random.default_rng(SEED)
    resamples = np.sort(generator.choice(np.sort(values), (RESAMPLES, len(values))), axis=1)
    return float(np.median(knots(resamples)))


def knots(ordered: Values) -> Values:
    """The value at the knot of the best broken line through each row of ordered values `[rows, n]`."""
    x = np.linspace(0.0, 1.0, ordered.shape[1])
    base = np.stack([np.ones_like(x), x], axis=1)
    orthonormal, _ = np.linalg.qr(base)
    bends = np.maximum(x[:, None] - x[None, 2:-2], 0.0)
    bends -= orthonormal @ (orthonormal.T @ bends)
    rest = ordered - (ordered @ orthonormal) @ orthonormal.T
    gain = (rest @ bends) ** 2 / (bends**2).sum(axis=0)
    best: Values = ordered[np.arange(len(ordered)), 2 + gain.argmax(axis=1)]
    return best


def otsu(values: Values) -> float:
    """The threshold that splits values into two clusters of least variance (Otsu, 1979).

    >>> otsu(np.array([1.0, 1.1, 1.2, 4.0, 4.1]))
    2.6
    """
    ordered = np.sort(values)
    count = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    above = ordered.sum() - below
    between = count * (len(ordered) - count) * (below / count - above / (len(ordered) - count)) ** 2
    best = int(between.argmax())
    return float((ordered[best] + ordered[best + 1]) / 2)
