"""How sure a phase is: the rule asked again of cells whose seeds were drawn anew, pairs with them, and their noise."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.special import gammaincinv  # type: ignore[import-untyped] # scipy ships no types

from learners.landscape.phases.cells import Cells, Indices
from learners.landscape.phases.columns import Values
from learners.landscape.phases.rule import Metric, Rule
from learners.landscape.phases.spread import Spread, directions, spread_of
from learners.landscape.phases.thresholds import Threshold
from learners.landscape.phases.tree import phase_of

VALUES_AT_ONCE = 4_000_000
LARGEST_STEP = 50.0
"""Of a logarithm."""
TINY = 1e-12


def probabilities(
    rule: Rule, found: Mapping[str, Threshold], cells: Cells, draws: int = 1000, seed: int = 0
) -> dict[str, Values]:
    """Give for each phase of the rule its share among bootstrap draws, for each cell.

    In a draw each seed of a cell gets a random weight, by which all of its values count: its own, and those of the
    pairs that it is part of, so that pairs that share a seed move together. (Resampled seeds are such weights, too;
    normal ones do not come to an end of possibilities with three seeds.) The spread is that of so few seeds: each draw
    stretches it by the chi-squared distribution of a variance that was estimated from them, so that means move as
    Student's t says. Where values have standard errors, what these explain of that spread is taken out of it and drawn
    by itself: the mean moves by its values' own noise, and by what is left for the seeds. A metric that has one value
    in a cell (it was measured once, or only its mean is known) moves by the rule's `error` and that value's own. All
    cells get the same draws, so that neither their order nor that of their rows matters. Thresholds stay.

    Args:
        rule: The rule.
        found: Its thresholds.
        cells: What was measured.
        draws: Number of draws.
        seed: Of the draws.

    Source:
        Efron and Tibshirani, 1993, "An Introduction to the Bootstrap"; for pairs: Snijders and Borgatti, 1999,
        "Non-parametric standard errors and tests for network statistics"; for the two parts of a variance: Weerahandi,
        1993, "Generalized confidence intervals".
    """
    if not len(cells):
        return {label: np.zeros(0) for label in rule.labels}
    shares = {label: np.zeros(len(cells)) for label in rule.labels}
    for drawn in _draws(rule, cells, draws, np.random.default_rng(seed)):
        phase = phase_of(rule, found, drawn)
        for label, share in shares.items():
            share += (phase == label).sum(axis=0)
    return {label: share / draws for label, share in shares.items()}


def _draws(rule: Rule, cells: Cells, draws: int, generator: np.random.Generator) -> Iterator[dict[str, Values]]:
    """Means of cells with weighted seeds by metric, `[some draws, cells]` at a time."""
    names = [name for name in rule.metrics if name in cells.values]
    spreads = [spread_of(name, cells, rule.metrics[name].scale == "log") for name in names]
    towards = directions(spreads)
    at_once = max(1, VALUES_AT_ONCE // (len(cells) * len(names)))
    for begin in range(0, draws, at_once):
        count = min(at_once, draws - begin)
        weights, noise, single = (generator.standard_normal((count, len(names))) for _ in range(3))
        ranks = generator.random((count, len(names)))
        steps = np.einsum("dk,cmk->mdc", weights, towards)
        yield {
            name: _moved(rule.metrics[name], spread, steps[k], noise[:, k, None], single[:, k, None], ranks[:, k])
            for k, (name, spread) in enumerate(zip(names, spreads, strict=True))
        }


def _moved(metric: Metric, spread: Spread, step: Values, noise: Values, single: Values, ranks: Values) -> Values:
    """A metric's means `[draws, cells]`; `step` is how the seeds move each, of variance one."""
    variance = np.maximum(spread.variance / _chi_squared(ranks, spread.free) - spread.within, 0.0)
    moved = np.where(spread.free > 0, np.sqrt(variance) * step, metric.error * single) + spread.noise * noise
    if metric.scale == "linear":
        shifted: Values = spread.centre + moved
        return shifted
    stretched: Values = spread.centre * np.exp(np.clip(moved, -LARGEST_STEP, LARGEST_STEP))
    return stretched


def _chi_squared(ranks: Values, free: Indices) -> Values:
    """Of mean one, `[draws, cells]`: the quantiles at `ranks` for the degrees of freedom of each cell."""
    found = np.ones((len(ranks), len(free)))
    for known in np.unique(free[free > 0]):
        found[:, free == known] = (gammaincinv(known / 2, ranks) * 2 / known)[:, None]
    return np.maximum(found, TINY)
