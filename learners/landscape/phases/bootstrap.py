"""How sure a phase is: the rule asked again of cells whose seeds were drawn anew, and pairs with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.landscape.phases.cells import Cells, Indices, mean_of
from learners.landscape.phases.columns import Values
from learners.landscape.phases.rule import Metric, Rule
from learners.landscape.phases.thresholds import Threshold
from learners.landscape.phases.tree import judge

VALUES_AT_ONCE = 4_000_000
LARGEST_STEP = 50.0
"""Of a logarithm."""


def probabilities(
    rule: Rule, found: Mapping[str, Threshold], cells: Cells, draws: int = 1000, seed: int = 0
) -> dict[str, Values]:
    """Give for each phase of the rule its share among bootstrap draws, for each cell.

    In a draw each seed of a cell gets a random weight, by which all of its values count: its own, and those of the
    pairs that it is part of, so that pairs that share a seed move together. (Resampled seeds are such weights, too;
    normal ones do not come to an end of possibilities with three seeds.) The spread is that of so few seeds: each draw
    stretches it by the chi-squared distribution of a variance that was estimated from them, so that means move as
    Student's t says. A metric that has one value in a cell (it was measured once, or only its mean is known) moves by
    the rule's `error` instead. Thresholds stay.

    Args:
        rule: The rule.
        found: Its thresholds.
        cells: What was measured.
        draws: Number of draws.
        seed: Of the draws.

    Source:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap"; for pairs: Snijders and Borgatti, 1999,
        "Non-parametric standard errors and tests for network statistics".
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


@dataclass(frozen=True)
class _Spread:
    """How the mean of a metric moves with the weights of seeds.

    Attributes:
        centre: The mean of each cell, `[cells]`.
        pulls: By how much it moves with each seed's weight, `[cells, seeds]`.
        free: Degrees of freedom of that estimate, `[cells]`; 0 where there is one value only.
    """

    centre: Values
    pulls: Values
    free: Indices


def _draws(rule: Rule, cells: Cells, draws: int, generator: np.random.Generator) -> Iterator[dict[str, Values]]:
    """Means of cells with weighted seeds by metric, `[some draws, cells]` at a time."""
    spreads = {name: _spread(values, cells.models) for name, values in cells.values.items() if name in rule.metrics}
    seeds = int(cells.models.max(initial=0)) + 1
    most = max((int(spread.free.max(initial=0)) for spread in spreads.values()), default=0)
    at_once = max(1, VALUES_AT_ONCE // (len(cells) * (seeds + most + 1)))
    for begin in range(0, draws, at_once):
        shape = (min(at_once, draws - begin), len(cells))
        weights = generator.standard_normal((*shape, seeds))
        squares = np.cumsum(generator.standard_normal((*shape, max(1, most))) ** 2, axis=2)
        yield {
            name: _moved(rule.metrics[name], spread, weights, squares, generator) for name, spread in spreads.items()
        }


def _moved(metric: Metric, spread: _Spread, weights: Values, squares: Values, generator: np.random.Generator) -> Values:
    chosen = np.maximum(spread.free - 1, 0)[None, :, None]
    estimated = np.take_along_axis(squares, np.broadcast_to(chosen, (*squares.shape[:2], 1)), axis=2)[:, :, 0]
    step = np.einsum("dcs,cs->dc", weights, spread.pulls) * np.sqrt(spread.free / estimated)
    noise = metric.error * generator.standard_normal(step.shape)
    if metric.scale == "linear":
        shifted: Values = spread.centre + np.where(spread.free > 0, step, noise)
        return shifted
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(spread.centre > 0, step / spread.centre, 0.0)
    factor = np.where(spread.free > 0, relative, noise)
    stretched: Values = spread.centre * np.exp(np.clip(factor, -LARGEST_STEP, LARGEST_STEP))
    return stretched


def _spread(values: Values, models: Indices) -> _Spread:
    """The influence of each seed on the mean of a metric, so that the sum of squares is the mean's variance.

    The variance is that of means whose values are sums of what each of their seeds brings; where pairs bring something
    of their own beside it is a little too large.
    """
    present, centre = ~np.isnan(values), mean_of(values)
    count = present.sum(axis=1)
    seeds = int(models.max(initial=0)) + 1
    apart = np.where(present, values - centre[:, None], 0.0) / np.maximum(count, 1)[:, None]
    pulls = np.zeros((len(values), seeds))
    cell = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    pair = models[:, :, 0] != models[:, :, 1]
    for end in (0, 1):
        counted = present & (pair | (end == 0))
        np.add.at(pulls, (cell[counted], models[:, :, end][counted]), apart[counted])
    times = np.zeros((len(values), seeds))  # rows that each seed is part of
    for end in (0, 1):
        counted = present & (pair | (end == 0))
        np.add.at(times, (cell[counted], models[:, :, end][counted]), 1.0)
    several = ~_measured_once(values)
    free = np.where(several, np.maximum(np.minimum((times > 0).sum(axis=1), count) - 1, 0), 0)
    scale = np.sqrt(count / np.maximum(count - 1, 1))
    for one in np.flatnonzero((pair & present).any(axis=1) & (free > 0)).tolist():
        scale[one] = _widening(models[one][present[one]], times[one])
    return _Spread(centre, pulls * np.where(free > 0, scale, 0.0)[:, None], free)


def _widening(pairs: Indices, times: Values) -> float:
    """By what influences have to be stretched so that their squares add up to the variance of the mean over pairs."""
    rows = np.zeros((len(pairs), len(times)))
    rows[np.arange(len(pairs)), pairs[:, 0]] = 1.0
    rows[np.arange(len(pairs)), pairs[:, 1]] = 1.0
    influence = rows.T @ (rows - times / len(pairs))
    size = float((influence**2).sum())
    return float(np.sqrt((times**2).sum() / size)) if size > 0 else 0.0


def _measured_once(values: Values) -> NDArray[np.bool_]:
    """Whether a cell has one value only, however often it is repeated."""
    present = ~np.isnan(values)
    lowest = np.where(present, values, np.inf).min(axis=1)
    highest = np.where(present, values, -np.inf).max(axis=1)
    once: NDArray[np.bool_] = lowest >= highest
    return once
