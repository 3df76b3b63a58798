"""How uncertain a cell's mean is: what its seeds make of it, and the standard errors of its values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.landscape.phases.cells import Cells, Indices, mean_of
from learners.landscape.phases.columns import Values

TOGETHER = ("cka",)
"""Metrics that are measured on the same samples for all pairs of a cell, so that their errors do not cancel."""

LARGEST_ERROR, SMALLEST = 1e50, 1e-100
"""Of errors, and of means of which there are shares: their squares are numbers still."""


@dataclass(frozen=True)
class Spread:
    """How the mean of a metric moves, each an array of cells; shares of the mean where the metric's scale is so.

    Attributes:
        centre: The mean.
        pulls: By how much it moves with each seed's weight, `[cells, seeds]`: their squares add up to its variance.
        variance: Of the mean, as its seeds' spread says.
        free: Degrees of freedom of that estimate; 0 where there is one value only.
        within: What of `variance` the values' own standard errors are expected to make.
        noise: Standard error of the mean that is due to those of the values.
    """

    centre: Values
    pulls: Values
    variance: Values
    free: Indices
    within: Values
    noise: Values


def spread_of(name: str, cells: Cells, relative: bool = False) -> Spread:
    """The influence of each seed on the mean of a metric, so that the sum of squares is the mean's variance.

    The variance is that of means whose values are sums of what each of their seeds brings. Where pairs bring something
    of their own beside it, it is too large: up to four times for three seeds. What standard errors say of that is
    known (`within`) and can be taken out.
    """
    values, errors = cells.values[name], cells.errors.get(name)
    present, centre = ~np.isnan(values), mean_of(values)
    count = present.sum(axis=1)
    seeds = int(cells.models.max(initial=0)) + 1
    known = np.zeros(values.shape) if errors is None else np.where(present & ~np.isnan(errors), errors, 0.0)
    squares = np.minimum(known, LARGEST_ERROR) ** 2
    pulls, within = np.zeros((len(values), seeds)), np.zeros(len(values))
    free = np.zeros(len(values), dtype=np.int64)
    influences: dict[bytes, tuple[Values, int]] = {}
    for cell in np.flatnonzero(~_measured_once(values)).tolist():
        here = present[cell]
        pairs = cells.models[cell][here]
        if pairs.tobytes() not in influences:
            influences[pairs.tobytes()] = _influence(pairs, seeds)
        influence, free[cell] = influences[pairs.tobytes()]
        pulls[cell] = influence @ (values[cell][here] - centre[cell])
        within[cell] = (influence**2).sum(axis=0) @ squares[cell][here]
    unit = np.where(centre > SMALLEST, centre, np.inf) if relative else np.ones(len(values))
    pulls, within = pulls / unit[:, None], within / unit**2
    noise = np.sqrt(squares.sum(axis=1) / np.maximum(count, 1)) / unit
    if name not in TOGETHER:  # then they are independent, and get less in a mean
        noise = np.where(free > 0, noise / np.sqrt(np.maximum(count, 1)), noise)
    return Spread(centre, pulls, (pulls**2).sum(axis=1), free, within * (name not in TOGETHER), noise)


def _influence(pairs: Indices, seeds: int) -> tuple[Values, int]:
    """How the mean of rows moves with each seed, by what each row is off the mean, `[seeds, rows]`; and its freedom.

    It is widened so that the squares of what seeds do add up to the variance of the mean over rows that are the sums
    of what their seeds bring.
    """
    rows = np.zeros((len(pairs), seeds))
    rows[np.arange(len(pairs)), pairs[:, 0]] = 1.0
    rows[np.arange(len(pairs)), pairs[:, 1]] = 1.0
    times = rows.sum(axis=0)
    size = float(((rows.T @ (rows - times / len(pairs))) ** 2).sum())
    widening = float(np.sqrt((times**2).sum() / size)) if size > 0 else 0.0
    centred = rows.T - times[:, None] / len(pairs)
    return widening * centred / len(pairs), max(min(int((times > 0).sum()), len(pairs)) - 1, 0)


def directions(spreads: Sequence[Spread]) -> Values:
    """How normal weights, one a metric, move the metrics' means together: `[cells, metrics, metrics]`, of variance one.

    It is the root of the correlations of what the seeds do to the metrics, and does not depend on the seeds' order.
    """
    pulls = np.stack([spread.pulls for spread in spreads], axis=1)
    size = np.sqrt((pulls**2).sum(axis=2, keepdims=True))
    unit = np.divide(pulls, size, out=np.zeros_like(pulls), where=size > 0)
    correlation = unit @ unit.transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(correlation)
    root: Values = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    return root


def _measured_once(values: Values) -> NDArray[np.bool_]:
    """Whether a cell has one value only, however often it is repeated."""
    present = ~np.isnan(values)
    lowest = np.where(present, values, np.inf).min(axis=1)
    highest = np.where(present, values, -np.inf).max(axis=1)
    once: NDArray[np.bool_] = lowest >= highest
    return once
