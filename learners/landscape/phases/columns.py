"""Takes the metrics out of any table: canonical names or mapped ones, checked, in canonical units."""

from collections.abc import Mapping
from typing import Literal, get_args
from warnings import warn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from learners.landscape.phases.rule import METRICS
from schemas.errors import UsageError
from zoo.mistakes import expected_one_of

Values = NDArray[np.float64]

AXES = ("width", "batch_size")
ERRORS = {metric: f"{metric}_standard_error" for metric in METRICS}
"""By metric the column with the standard errors of its values."""
CANONICAL = (*AXES, *METRICS, *ERRORS.values())
Units = Literal["points", "shares"]
IN_POINTS = ("train_error", "mode_connectivity")
"""Metrics that are percentage points, or shares from 0 to 1."""
LARGEST = 1e50
"""What is larger, infinity too, counts as this much: it is high, and no calibration looks at it."""
LARGEST_LOGARITHM = 50.0
LOSS_OF_ERRORS = 0.3
PER_CENT = 100.0
SEVERAL, MANY = 5.0, 10
"""Errors in percentage points, and values beside them, that leave no doubt about the unit of mode connectivity."""


def mapped(frame: pl.DataFrame, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Give for each canonical name the column of `frame` that holds it, where one does.

    Raises:
        UsageError: `columns` is no mapping, names no canonical metric, or a column that is not there; or the
            frame is none.
    """
    if not isinstance(frame, pl.DataFrame):
        raise UsageError(f"phases are assigned to a polars DataFrame, this is a {type(frame).__name__}")
    if not isinstance(columns, Mapping | None):
        raise UsageError(f"columns is a {type(columns).__name__}; expected a mapping, {{'cka': 'my_column'}}")
    for name, column in (columns or {}).items():
        if name not in CANONICAL:
            raise UsageError(f"columns: {name!r} is no metric: {expected_one_of(str(name), CANONICAL)}")
        if column not in frame.columns:
            raise UsageError(f"columns: {name} = {column!r}: {expected_one_of(str(column), frame.columns)}")
    return {name: name for name in CANONICAL if name in frame.columns} | dict(columns or {})


def metrics_of(frame: pl.DataFrame, names: Mapping[str, str], units: Units | None = None) -> dict[str, Values]:
    """Metrics as float64, a value a row, NaN where there is none: errors in percentage points, logarithms of traces.

    Raises:
        UsageError: A metric's column holds no numbers, none at all are there, it is an accuracy where an error is
            meant, or shares where percentage points are, or there are no such units.
    """
    if units not in (None, *get_args(Units)):
        raise UsageError(f"units = {units!r}: {expected_one_of(str(units), get_args(Units))}")
    found = {name: _numbers(frame, name, names[name]) for name in METRICS if name in names}
    if not found:
        raise UsageError(
            f"the table has none of the metrics {', '.join(METRICS)}; columns={{'cka': 'my_column'}} maps other names"
        )
    if "train_error" in found and "acc" in names["train_error"].lower():
        raise UsageError(f"train_error = {names['train_error']!r} is an accuracy; expected the error, 100 - accuracy")
    if units is None:
        _refuse_shares(found, names)
        _doubt_shares(found, names)
    if "log_hessian_trace" in found:
        found["log_hessian_trace"] = _logarithms(found["log_hessian_trace"])
    return {name: values * _factor(name, units) for name, values in found.items()}


def errors_of(frame: pl.DataFrame, names: Mapping[str, str], units: Units | None = None) -> dict[str, Values]:
    """Standard errors of metrics, in the units of `metrics_of`; NaN where a value has none.

    Raises:
        UsageError: A column of them holds no numbers, or negative ones.
    """
    found = {name: _numbers(frame, error, names[error]) for name, error in ERRORS.items() if error in names}
    for name, values in found.items():
        if np.nanmin(values, initial=0.0) < 0:
            raise UsageError(f"{ERRORS[name]}: column {names[ERRORS[name]]!r} has negative values; expected 0 or more")
    if "log_hessian_trace" in found and "log_hessian_trace" in names:
        traces = _numbers(frame, "log_hessian_trace", names["log_hessian_trace"])
        if _are_traces(traces):
            with np.errstate(invalid="ignore", divide="ignore"):
                found["log_hessian_trace"] = np.where(traces > 0, found["log_hessian_trace"] / traces / np.log(10), 0.0)
    return {name: values * _factor(name, units) for name, values in found.items() if name in names}


def _factor(name: str, units: Units | None) -> float:
    return PER_CENT if units == "shares" and name in IN_POINTS else 1.0


def _refuse_shares(found: Mapping[str, Values], names: Mapping[str, str]) -> None:
    """Ask for the units where errors are shares by all appearances, instead of calling each network nearly perfect.

    A mean loss of 0.3 nats and an error of less than one in a hundred contradict each other.
    """
    if "train_error" not in found or "train_loss" not in found:
        return
    error, loss = (float(np.nanmax(found[name], initial=0.0)) for name in ("train_error", "train_loss"))
    if 0 < error <= 1 and loss >= LOSS_OF_ERRORS:
        raise UsageError(
            f"train_error: column {names['train_error']!r} never exceeds {error:.3g} where losses reach {loss:.3g} "
            'nats, as shares do, and percentage points are expected: say units="shares", or units="points" if they are'
        )


def _doubt_shares(found: Mapping[str, Values], names: Mapping[str, str]) -> None:
    """Warn where errors are percentage points and mode connectivity is a share by all appearances.

    Curves between networks that err in several of a hundred samples rise or fall by more than one somewhere: so does
    each cell of the published table.
    """
    if "train_error" not in found or "mode_connectivity" not in found:
        return
    connectivity = np.abs(found["mode_connectivity"])
    largest = float(np.nanmax(connectivity, initial=0.0))
    erring = connectivity[(found["train_error"] >= SEVERAL) & ~np.isnan(connectivity)]
    if 0 < largest <= 1 and len(np.unique(erring)) >= MANY:
        warn(
            f"mode_connectivity: column {names['mode_connectivity']!r} stays within {largest:.3g} where {len(erring)} "
            f"rows have errors of {SEVERAL:g} points and more, as shares do, and percentage points are expected: "
            'multiply it by 100, or say units="points" if they are',
            UserWarning,
            stacklevel=5,  # who calls assign_phases
        )


def _numbers(frame: pl.DataFrame, name: str, column: str) -> Values:
    series = frame[column]
    if series.dtype == pl.Null:
        return np.full(len(series), np.nan)
    if not series.dtype.is_numeric():
        raise UsageError(f"{name}: column {column!r} is {series.dtype}; expected numbers")
    values: Values = np.clip(series.cast(pl.Float64).to_numpy().astype(np.float64), -LARGEST, LARGEST)
    return values


def _are_traces(values: Values) -> bool:
    """Whether these are traces themselves: none has a logarithm above fifty."""
    return bool(np.nanmax(values, initial=0.0) > LARGEST_LOGARITHM)


def _logarithms(values: Values) -> Values:
    if not _are_traces(values):
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, np.log10(values), np.nan)
