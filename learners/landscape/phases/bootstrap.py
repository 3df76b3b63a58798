"""How sure a phase is: the rule asked again of resampled seeds and pairs."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from learners.landscape.phases.cells import Cells, mean_of
from learners.landscape.phases.columns import Values
from learners.landscape.phases.rule import Rule
from learners.landscape.phases.thresholds import Threshold
from learners.landscape.phases.tree import judge

VALUES_AT_ONCE = 4_000_000


def probabilities(
    rule: Rule, found: Mapping[str, Threshold], cells: Cells, draws: int = 1000, seed: int = 0
) -> dict[str, Values]:
    """Give for each phase of the rule its share among bootstrap draws, for each cell.

    In a draw the members and pairs of each cell are drawn anew with replacement (metrics of as many values draw the
    same ones), and deviations
    from the mean are widened by sqrt(n / (n - 1)), without which few members look too sure. A metric that has one value
    in a cell (it was measured once, or only its mean is known) moves by the rule's `error` instead. Thresholds stay.

    Args:
        rule: The rule.
        found: Its thresholds.
        cells: What was measured.
        draws: Number of draws.
        seed: Of the draws.

    Source:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap".
    """
    if not len(cells):
        return {label: np.zeros(0) for label in rule.labels}
    generator = np.random.default_rng(seed)
    shares = {label: np.zeros(len(cells)) for label in rule.labels}
    for drawn in _draws(rule, cells, draws, generator):
        phase = judge(rule, found, drawn).phase
        for label, share in shares.items():
            share += (phase == label).sum(axis=0)
    return {label: share / draws for label, share in shares.items()}


def _draws(rule: Rule, cells: Cells, draws: int, generator: np.random.Generator) -> Iterator[dict[str, Values]]:
    """Means of resampled cells by metric, `[some draws, cells]` at a time."""
    values = {name: _present_first(array) for name, array in cells.values.items() if name in rule.metrics}
    members = next(iter(cells.values.values())).shape[1]
    at_once = max(1, VALUES_AT_ONCE // max(1, len(cells) * members * len(values)))
    for begin in range(0, draws, at_once):
        uniform = generator.random((min(at_once, draws - begin), len(cells), members))
        yield {name: _drawn(rule, name, array, uniform, generator) for name, array in values.items()}


def _present_first(values: Values) -> Values:
    """The same values, those that are missing last in each cell."""
    return np.take_along_axis(values, np.argsort(np.isnan(values), axis=1, kind="stable"), axis=1)


def _drawn(rule: Rule, name: str, values: Values, uniform: Values, generator: np.random.Generator) -> Values:
    metric, centre = rule.metrics[name], mean_of(values)
    count = (~np.isnan(values)).sum(axis=1)
    chosen = (uniform * count[:, None]).astype(np.int64)
    picked = np.take_along_axis(np.broadcast_to(values, chosen.shape), chosen, axis=2)
    means = mean_of(np.where(np.arange(values.shape[1]) < count[:, None], picked, np.nan))
    widened = centre + (means - centre) * np.sqrt(count / np.maximum(count - 1, 1))
    noise = metric.error * generator.standard_normal(means.shape)
    moved = centre * np.exp(noise) if metric.scale == "log" else centre + noise
    return np.where(_measured_once(values), moved, widened)


def _measured_once(values: Values) -> NDArray[np.bool_]:
    """Whether a cell has one value only, however often it is repeated."""
    present = ~np.isnan(values)
    lowest = np.where(present, values, np.inf).min(axis=1)
    highest = np.where(present, values, -np.inf).max(axis=1)
    once: NDArray[np.bool_] = lowest >= highest
    return once
