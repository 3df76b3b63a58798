"""Walks a rule's tree for many cells at once: values and thresholds in, phases and distances to thresholds out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.landscape.phases.columns import Values
from learners.landscape.phases.rule import UNKNOWN, Branch, Metric, Rule, Split, phases_of
from learners.landscape.phases.thresholds import Threshold

Texts = NDArray[np.object_]
Mask = NDArray[np.bool_]

MISSING = ""


@dataclass(frozen=True)
class Verdicts:
    """What a rule says of cells, each an array of the cells' shape.

    Attributes:
        phase: The phase; where information is missing all that are left, as `I or II`, or `unknown`.
        distance: From the nearest threshold at which the phase would change, in the metric's unit; NaN without any.
        nearest: The metric of that threshold.
    """

    phase: Texts
    distance: Values
    nearest: Texts


def judge(rule: Rule, found: Mapping[str, Threshold], values: Mapping[str, Values]) -> Verdicts:
    """Ask the tree's questions of each cell.

    Args:
        rule: The tree of questions.
        found: The threshold of each metric; a metric without one is as good as missing.
        values: By metric an array of any shape, the same for all; NaN is missing.
    """
    shape = next(iter(values.values())).shape
    verdicts = Verdicts(np.full(shape, UNKNOWN, object), np.full(shape, np.nan), np.full(shape, None, object))
    _walk(
        rule.tree,
        np.full(shape, True),
        rule,
        {name: t for name, t in found.items() if name in values},
        values,
        verdicts,
    )
    return verdicts


def _walk(
    branch: Branch,
    here: Mask,
    rule: Rule,
    found: Mapping[str, Threshold],
    values: Mapping[str, Values],
    verdicts: Verdicts,
) -> None:
    if isinstance(branch, str):
        verdicts.phase[here] = branch
        return
    answers = np.full(here.shape, MISSING, object)
    for name in filter(None, (branch.instead, branch.metric)):  # the first choice is written last
        if name in found:
            metric, value, at = rule.metrics[name], values[name], found[name].at
            answers = np.where(np.isnan(value), answers, _levels(metric, value, at))
            _keep_nearest(verdicts, here & ~np.isnan(value), name, _distance(branch, metric, value, at))
    answers = _untied(branch, rule, found, values, answers)
    for name, behind in branch.branches.items():
        _walk(behind, here & (answers == name), rule, found, values, verdicts)
    verdicts.phase[here & (answers == MISSING)] = _undecided(branch, rule)


def _levels(metric: Metric, value: Values, at: float) -> Texts:
    if metric.tolerance is None:
        return np.where(value > at, "high", "low").astype(object)
    return np.select([value < -at, value > at], ["negative", "positive"], "zero").astype(object)


def _untied(
    split: Split, rule: Rule, found: Mapping[str, Threshold], values: Mapping[str, Values], answers: Texts
) -> Texts:
    """Let another metric decide where the first one lies on its threshold, give or take a little."""
    if split.tie is None or split.tie not in found or split.metric not in found:
        return answers
    metric, other = rule.metrics[split.metric], values[split.tie]
    tied = _offset(metric, values[split.metric], found[split.metric].at) < metric.tie
    decided = _levels(rule.metrics[split.tie], other, found[split.tie].at)
    return np.where(tied & ~np.isnan(other), decided, answers)


def _offset(metric: Metric, value: Values, at: float) -> Values:
    """Distance from a threshold: of logarithms where the metric says so."""
    with np.errstate(divide="ignore", invalid="ignore"):
        offset: Values = np.abs(value - at if metric.scale == "linear" else np.log(value) - np.log(at))
    return offset


def _distance(split: Split, metric: Metric, value: Values, at: float) -> Values:
    """From the nearest threshold beyond which another branch lies, in units."""
    if metric.tolerance is None:
        return _offset(metric, value, at) / metric.unit
    borders = [-at] if split.negative != split.zero else []
    borders += [at] if split.zero != split.positive else []
    nearest: Values = np.min([_offset(metric, value, border) for border in borders], axis=0)
    return nearest / metric.unit


def _keep_nearest(verdicts: Verdicts, here: Mask, name: str, distance: Values) -> None:
    nearer = here & ~(verdicts.distance <= distance)
    verdicts.distance[nearer] = distance[nearer]
    verdicts.nearest[nearer] = name


def _undecided(split: Split, rule: Rule) -> str:
    """What is said where a question stays open: the phases that are left, or what their names share."""
    left = phases_of(split)
    if set(left) == set(rule.labels):
        return UNKNOWN
    return " or ".join(dict.fromkeys(phase.split("-")[0] for phase in left))
