"""Takes the metrics out of any table: canonical names or mapped ones, checked, in canonical units."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learners.landscape.phases.rule import METRICS
from schemas.errors import UsageError
from zoo.mistakes import expected_one_of

Values = NDArray[np.float64]

AXES = ("width", "batch_size")
CANONICAL = (*AXES, *METRICS)
LARGEST = 1e50
"""What is larger, infinity too, counts as this much: it is high, and no calibration looks at it."""
LARGEST_LOGARITHM = 50.0
LOSS_OF_ERRORS = 0.3
PER_CENT = 100.0


def mapped(frame: pl.DataFrame, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Give for each canonical name the column of `frame` that holds it, where one does.

    Raises:
        UsageError: `columns` has a name that is not canonical, names a column that is not there, or the frame is none.
    """
    if not isinstance(frame, pl.DataFrame):
        raise UsageError(f"phases are assigned to a polars DataFrame, this is a {type(frame).__name__}")
    for name, column in (columns or {}).items():
        if name not in CANONICAL:
            raise UsageError(f"columns: {name!r} is no metric: {expected_one_of(str(name), CANONICAL)}")
        if column not in frame.columns:
            raise UsageError(f"columns: {name} = {column!r}: {expected_one_of(str(column), frame.columns)}")
    return {name: name for name in CANONICAL if name in frame.columns} | dict(columns or {})


def metrics_of(frame: pl.DataFrame, names: Mapping[str, str]) -> dict[str, Values]:
    """Metrics as float64, a value a row, NaN where there is none: errors in percentage points, logarithms of traces.

    Raises:
        UsageError: A metric's column holds no numbers, none at all are there, or it is an accuracy where an error is
            meant.
    """
    found = {name: _numbers(frame, name, names[name]) for name in METRICS if name in names}
    if not found:
        raise UsageError(
            f"the table has none of the metrics {', '.join(METRICS)}; columns={{'cka': 'my_column'}} maps other names"
        )
    if "train_error" in found and "acc" in names["train_error"].lower():
        raise UsageError(f"train_error = {names['train_error']!r} is an accuracy; expected the error, 100 - accuracy")
    if "log_hessian_trace" in found:
        found["log_hessian_trace"] = _logarithms(found["log_hessian_trace"])
    return _in_points(found)


def _numbers(frame: pl.DataFrame, name: str, column: str) -> Values:
    series = frame[column]
    if series.dtype == pl.Null:
        return np.full(len(series), np.nan)
    if not series.dtype.is_numeric():
        raise UsageError(f"{name}: column {column!r} is {series.dtype}; expected numbers")
    values: Values = np.clip(series.cast(pl.Float64).to_numpy().astype(np.float64), -LARGEST, LARGEST)
    return values


def _logarithms(values: Values) -> Values:
    """Take the logarithm of what is none: no trace has a logarithm above fifty."""
    if np.nanmax(values, initial=0.0) <= LARGEST_LOGARITHM:
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)


def _in_points(found: dict[str, Values]) -> dict[str, Values]:
    """Turn shares (0 to 1) into percentage points, where it is plain that shares are meant.

    It is where no error exceeds 1 although losses are of networks that do err: a mean loss of 0.3 nats and an error of
    less than one in a hundred contradict each other.
    """
    present = {name: found[name] for name in ("train_error", "mode_connectivity") if name in found}
    largest = max((float(np.nanmax(np.abs(values), initial=0.0)) for values in present.values()), default=0.0)
    loss = float(np.nanmax(found["train_loss"], initial=0.0)) if "train_loss" in found else 0.0
    if largest > 1 or "train_error" not in present or loss < LOSS_OF_ERRORS:
        return found
    return found | {name: PER_CENT * values for name, values in present.items()}
