"""Walks a rule's tree for many cells at once: values and thresholds in, phases out."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from learners.landscape.phases.columns import Values
from learners.landscape.phases.rule import UNKNOWN, Branch, Metric, Rule, Split, phases_of
from learners.landscape.phases.thresholds import Threshold

Texts = NDArray[np.object_]
Mask = NDArray[np.bool_]

MISSING = ""


def phase_of(rule: Rule, found: Mapping[str, Threshold], values: Mapping[str, Values]) -> Texts:
    """Ask the tree's questions of each cell: its phase; where information is missing all that are left, as `I or II`.

    Args:
        rule: The tree of questions.
        found: The threshold of each metric; a metric without one is as good as missing.
        values: By metric an array of any shape, the same for all; NaN is missing.
    """
    shape = next(iter(values.values())).shape
    phase = np.full(shape, UNKNOWN, object)
    usable = {name: threshold for name, threshold in found.items() if name in values}
    _walk(rule.tree, np.full(shape, True), rule, usable, values, phase)
    return phase


def _walk(
    branch: Branch, here: Mask, rule: Rule, found: Mapping[str, Threshold], values: Mapping[str, Values], phase: Texts
) -> None:
    if isinstance(branch, str):
        phase[here] = branch
        return
    answers = np.full(here.shape, MISSING, object)
    for name in filter(None, (branch.instead, branch.metric)):  # the first choice is written last
        if name in found:
            value, at = values[name], found[name].at
            answers = np.where(np.isnan(value), answers, _levels(rule.metrics[name], value, at))
    answers = _untied(branch, rule, found, values, answers)
    for name, behind in branch.branches.items():
        _walk(behind, here & (answers == name), rule, found, values, phase)
    phase[here & (answers == MISSING)] = _undecided(branch, rule)


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
    tied = offset(metric, values[split.metric], found[split.metric].at) < metric.tie
    decided = _levels(rule.metrics[split.tie], other, found[split.tie].at)
    return np.where(tied & ~np.isnan(other), decided, answers)


def offset(metric: Metric, value: Values, at: float) -> Values:
    """Distance from a threshold: of logarithms where the metric says so."""
    with np.errstate(divide="ignore", invalid="ignore"):
        apart: Values = np.abs(value - at if metric.scale == "linear" else np.log(value) - np.log(at))
    return apart


def _undecided(split: Split, rule: Rule) -> str:
    """What is said where a question stays open: the phases that are left, or what their names share."""
    left = phases_of(split)
    if set(left) == set(rule.labels):
        return UNKNOWN
    return " or ".join(dict.fromkeys(phase.split("-")[0] for phase in left))
