"""What a rule says of cells: phases, and how far each is from the nearest threshold beyond which it is another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from learners.landscape.phases.columns import Values
from learners.landscape.phases.rule import UNKNOWN, Metric, Rule
from learners.landscape.phases.thresholds import Threshold
from learners.landscape.phases.tree import Texts, phase_of


@dataclass(frozen=True)
class Verdicts:
    """What a rule says of cells, each an array of the cells' shape.

    Attributes:
        phase: The phase; where information is missing all that are left, as `I or II`, or `unknown`.
        distance: How far one metric alone has to move for another phase, in the metric's unit, the least of all; NaN
            where none can. A metric that is not asked, as the error where there is a loss, has no part in it.
        nearest: The metric of that threshold.
    """

    phase: Texts
    distance: Values
    nearest: Texts


def judge(rule: Rule, found: Mapping[str, Threshold], values: Mapping[str, Values]) -> Verdicts:
    """Ask the tree's questions of each cell, and of each metric where it would have to lie for other answers.

    Arguments as in `phase_of`.
    """
    phase = phase_of(rule, found, values)
    distance, nearest = np.full(phase.shape, np.inf), np.full(phase.shape, None, object)
    for name in values:
        if name in found and name in rule.metrics:
            away = _to_another_phase(rule, found, values, phase, name)
            nearer = away < distance
            distance[nearer], nearest[nearer] = away[nearer], name
    known = (phase != UNKNOWN) & (nearest != None)  # noqa: E711 - of each element
    nearest[~known] = None
    return Verdicts(phase, np.where(known, distance, np.nan), nearest)


def _to_another_phase(
    rule: Rule, found: Mapping[str, Threshold], values: Mapping[str, Values], phase: Texts, name: str
) -> Values:
    """Distance of a metric from the nearest of its ranges in which cells would have another phase; infinite without."""
    metric, value = rule.metrics[name], values[name]
    distance = np.full(phase.shape, np.inf)
    for low, high in _ranges(rule, name, found[name].at):
        inside = np.full(phase.shape, _inside(metric, low, high))
        other = phase_of(rule, found, {**values, name: np.where(np.isnan(value), np.nan, inside)}) != phase
        away = np.maximum(_beyond(metric, value, low, 1), _beyond(metric, value, high, -1)) / metric.unit
        distance = np.where(other & (away < distance), np.maximum(away, 0.0), distance)
    return distance


def _ranges(rule: Rule, name: str, at: float) -> Iterator[tuple[float, float]]:
    """What a metric's thresholds cut its values into, from the lowest; inside of each it is all the same to a rule."""
    metric = rule.metrics[name]
    borders = [-at, at] if metric.tolerance is not None else [at]
    if any(question.metric == name and question.tie for question in rule.tree.questions()):
        borders = [_moved(metric, border, sign * metric.tie) for border in borders for sign in (-1, 0, 1)]
    ordered = sorted({-np.inf, *borders, np.inf})
    yield from pairwise(ordered)


def _moved(metric: Metric, value: float, by: float) -> float:
    return value + by if metric.scale == "linear" else value * float(np.exp(by))


def _inside(metric: Metric, low: float, high: float) -> float:
    if low == -np.inf:
        return _moved(metric, high, -metric.unit)
    if high == np.inf:
        return _moved(metric, low, metric.unit)
    return (low + high) / 2


def _beyond(metric: Metric, value: Values, border: float, side: int) -> Values:
    """How far a value has to move up (`side` 1) or down (-1) to reach a border; negative where it is beyond it."""
    if not np.isfinite(border):
        return np.full(value.shape, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        way: Values = border - value if metric.scale == "linear" else np.log(border) - np.log(value)
    return side * way
