"""How labels move when thresholds do: the rule asked again with each threshold shifted, and with all of them."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learners.landscape.phases.assigning import Judged
from learners.landscape.phases.thresholds import Threshold
from learners.landscape.phases.tree import phase_of

STEPS = (-1.0, -0.5, 0.5, 1.0)


SCHEMA = {
    "metric": pl.String,
    "threshold": pl.Float64,
    "steps": pl.Float64,
    "agreement": pl.Float64,
    "moved": pl.Int64,
}
ALL_AT_WORST, ALL_AT_RANDOM = "all, at worst", "all, at random"
RANDOM_MOVES = 400


def sensitivity(judged: Judged) -> pl.DataFrame:
    """Share of cells that keep their phase when one threshold is moved by so many of the rule's steps.

    A step is half a unit of the metric for a threshold on a linear scale, that factor for one on a logarithmic scale,
    and two fifths of a tolerance. Cells that have no phase do not count.

    Returns:
        Columns metric, threshold (as moved), steps, agreement (0 to 1), moved (cells that change).
    """
    rows = [
        {"metric": name, "threshold": _moved(judged, name, steps), "steps": steps, **_agreement(judged, {name: steps})}
        for name in _asked(judged)
        for steps in STEPS
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def sensitivity_together(judged: Judged) -> pl.DataFrame:
    """The same with all thresholds moved at once, half a step and a step, columns as in `sensitivity`.

    `all, at worst` is the least agreement of all ways to move each threshold by that up, down or not at all; `all, at
    random` the mean over moves that are drawn evenly up to that, each threshold's by itself.
    """
    asked, rows = _asked(judged), []
    generator = np.random.default_rng(0)
    for most in sorted({abs(steps) for steps in STEPS}):
        corners = [dict(zip(asked, each, strict=True)) for each in product((-most, 0.0, most), repeat=len(asked))]
        drawn = [
            dict(zip(asked, each, strict=True))
            for each in generator.uniform(-most, most, (RANDOM_MOVES, len(asked))).tolist()
        ]
        worst = min((_agreement(judged, moves) for moves in corners), key=lambda found: float(found["agreement"]))
        mean = float(np.mean([_agreement(judged, moves)["agreement"] for moves in drawn]))
        cells = round((1 - mean) * _known(judged).sum())
        rows += [
            {"metric": ALL_AT_WORST, "threshold": None, "steps": most, **worst},
            {"metric": ALL_AT_RANDOM, "threshold": None, "steps": most, "agreement": mean, "moved": cells},
        ]
    return pl.DataFrame(rows, schema=SCHEMA)


def _asked(judged: Judged) -> list[str]:
    """The metrics with thresholds that the rule asks for and the table has."""
    return [name for name in judged.thresholds if name in judged.rule.tree.metrics and name in judged.cells.values]


def _moved(judged: Judged, name: str, steps: float) -> float:
    metric, at = judged.rule.metrics[name], judged.thresholds[name].at
    if metric.tolerance is not None:
        return at * (1 + 0.4 * steps)
    step = metric.unit / 2
    return float(at * np.exp(step * steps)) if metric.scale == "log" else at + step * steps


def _agreement(judged: Judged, moves: Mapping[str, float]) -> dict[str, float]:
    shifted = {name: Threshold(_moved(judged, name, steps), "moved") for name, steps in moves.items()}
    phase = phase_of(judged.rule, judged.thresholds | shifted, judged.cells.means)
    known = _known(judged)
    differ = int((phase != judged.verdicts.phase)[known].sum())
    return {"agreement": 1 - differ / max(1, int(known.sum())), "moved": differ}


def _known(judged: Judged) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isin(judged.verdicts.phase, judged.rule.labels)
    return known
