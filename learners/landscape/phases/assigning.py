"""Assigns phases: a table of measurements in, the same with phases out, or a row a cell with all that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from learners.landscape.phases.bootstrap import probabilities
from learners.landscape.phases.cells import Cells, cells_of
from learners.landscape.phases.columns import Units, Values, errors_of, mapped, metrics_of
from learners.landscape.phases.rule import METRICS, Rule, load_rule
from learners.landscape.phases.thresholds import Threshold, thresholds
from learners.landscape.phases.verdicts import Verdicts, judge
from schemas.errors import UsageError

ADDED = ("phase", "phase_probability")


def assign_phases(
    frame: pl.DataFrame,
    rule: str | Path | Rule = "taxonomy",
    columns: Mapping[str, str] | None = None,
    units: Units | None = None,
) -> pl.DataFrame:
    """Add the columns `phase` and `phase_probability` to a table of measurements.

    Rows that share `width` and `batch_size` form a cell: its mean is judged, and its rows are what the bootstrap
    weighs, each as a seed of its own. A table without these columns has a cell a row. Values that are null or NaN are
    missing.

    Args:
        frame: One row a model or a cell, with any of the metrics `train_loss` (nats), `train_error` and
            `mode_connectivity` (percentage points of training error; negative is a barrier), `cka`,
            `log_hessian_trace` (any base), and of any of these the standard error of the row's value, as
            `mode_connectivity_standard_error`, in the unit of its column.
        rule: Name of a rule that comes with weightlake (`taxonomy`, `model-diagnosis`), a TOML file, or a `Rule`.
        columns: Where a metric, its error or an axis stands under another name: {"cka": "cell_cka"}.
        units: What `train_error` and `mode_connectivity` are in: `points` (percentage points, 0 to 100), `shares` (0 to
            1). Without it points, and a table is refused whose errors and losses contradict that. Mode connectivity
            that looks like shares beside errors in points is warned of.

    Returns:
        The rows of `frame` as they were, with `phase` and `phase_probability` (share of the bootstrap's draws with that
        phase). A cell without enough information says so: `unknown`, or the phases that are left, as `I or II`,
        without a probability.

    Raises:
        UsageError: There is no such rule or column, a column holds no numbers, errors look like shares and `units` does
            not say so, or the table has a `phase` already.

    Source:
        Yang et al. 2021, "Taxonomizing local versus global structure in neural network loss landscapes"; Zhou et al.
        2024, "MD tree".
    """
    taken = [name for name in ADDED if isinstance(frame, pl.DataFrame) and name in frame.columns]
    if taken:
        raise UsageError(
            f"the table has a column {taken[0]!r} already, which would be overwritten; drop it, or rename it: "
            f'frame.rename({{{taken[0]!r}: "earlier_{taken[0]}"}})'
        )
    judged = judge_frame(frame, rule, columns, units=units)
    cell_of = judged.cells.cell_of
    phase = pl.Series("phase", judged.verdicts.phase[cell_of].tolist(), dtype=pl.String)
    probability = pl.Series("phase_probability", judged.probability[cell_of], dtype=pl.Float64).fill_nan(None)
    return frame.with_columns(phase, probability)


@dataclass(frozen=True)
class Judged:
    """Everything that a rule says of a table."""

    rule: Rule
    cells: Cells
    thresholds: dict[str, Threshold]
    verdicts: Verdicts
    probabilities: dict[str, Values]
    """By phase `[cells]`."""

    @property
    def probability(self) -> Values:
        """Of each cell's phase; NaN where that is no phase of the rule."""
        columns = [np.where(self.verdicts.phase == label, p, 0.0) for label, p in self.probabilities.items()]
        known = np.isin(self.verdicts.phase, self.rule.labels)
        return np.where(known, np.sum(columns, axis=0), np.nan)

    def table(self) -> pl.DataFrame:
        """A row a cell: axes, members, means, phase, its probability and that of each phase, distance and nearest."""
        members = np.bincount(self.cells.cell_of, minlength=len(self.cells))
        means = {name: mean for name, mean in self.cells.means.items() if name in self.rule.metrics}
        shares = pl.DataFrame({f"p {label}": share for label, share in self.probabilities.items()})
        return self.cells.axes.with_columns(
            pl.Series("members", members),
            *(pl.Series(name, mean, strict=False).fill_nan(None) for name, mean in means.items()),
            pl.Series("phase", self.verdicts.phase.tolist(), dtype=pl.String),
            pl.Series("probability", self.probability).fill_nan(None),
            pl.Series("distance", self.verdicts.distance).fill_nan(None),
            pl.Series("nearest", self.verdicts.nearest.tolist(), dtype=pl.String),
            *shares.get_columns(),
        )


def judge_frame(
    frame: pl.DataFrame,
    rule: str | Path | Rule = "taxonomy",
    columns: Mapping[str, str] | None = None,
    null: float = 0.0,
    models: tuple[str, str] | None = None,
    units: Units | None = None,
) -> Judged:
    """Judge a table's cells; arguments and errors as in `assign_phases`.

    `null` is what the CKA estimator scores for unrelated models: 0 for the unbiased one. `models` are the columns that
    name the two models that a row speaks of, see `cells_of`: seeds that pairs share are drawn once for all of them.
    """
    checked = load_rule(rule)
    names = mapped(frame, columns)
    cells = cells_of(frame, names, metrics_of(frame, names, units), errors_of(frame, names, units), models)
    values = {name: mean for name, mean in cells.means.items() if name in METRICS}
    found = thresholds(checked, values, null)
    return Judged(checked, cells, found, judge(checked, found, values), probabilities(checked, found, cells))
