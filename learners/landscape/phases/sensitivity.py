"""How labels move when thresholds do: the rule asked again with each threshold shifted."""

import numpy as np
import polars as pl

from learners.landscape.phases.assigning import Judged
from learners.landscape.phases.thresholds import Threshold
from learners.landscape.phases.tree import judge

STEPS = (-1.0, -0.5, 0.5, 1.0)


def sensitivity(judged: Judged) -> pl.DataFrame:
    """Share of cells that keep their phase when one threshold is moved by so many of the rule's steps.

    A step is half a unit of the metric for a threshold on a linear scale, that factor for one on a logarithmic scale,
    and two fifths of a tolerance. Cells that have no phase do not count.

    Returns:
        Columns metric, threshold (as moved), steps, agreement (0 to 1), moved (cells that change).
    """
    rows = []
    for name in judged.thresholds:
        if name not in judged.rule.tree.metrics or name not in judged.cells.values:
            continue
        for steps in STEPS:
            moved = _moved(judged, name, steps)
            changed = _changed(judged, name, moved)
            rows.append(
                {"metric": name, "threshold": moved, "steps": steps, "agreement": 1 - changed[0], "moved": changed[1]}
            )
    schema = {
        "metric": pl.String,
        "threshold": pl.Float64,
        "steps": pl.Float64,
        "agreement": pl.Float64,
        "moved": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema)


def _moved(judged: Judged, name: str, steps: float) -> float:
    metric, at = judged.rule.metrics[name], judged.thresholds[name].at
    if metric.tolerance is not None:
        return at * (1 + 0.4 * steps)
    step = metric.unit / 2
    return float(at * np.exp(step * steps)) if metric.scale == "log" else at + step * steps


def _changed(judged: Judged, name: str, at: float) -> tuple[float, int]:
    thresholds = judged.thresholds | {name: Threshold(at, "moved")}
    phase = judge(judged.rule, thresholds, judged.cells.means).phase
    known = np.isin(judged.verdicts.phase, judged.rule.labels)
    differ = int((phase != judged.verdicts.phase)[known].sum())
    return differ / max(1, int(known.sum())), differ
