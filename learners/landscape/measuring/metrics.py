"""The metrics by name: whether they are of one model or of two, and what a measurement of them depends on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from schemas import UsageError
from zoo.mistakes import expected_one_of

Setting = float | int | str
Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class Metric:
    """A metric: of one model or of a pair, on which split, and its settings."""

    name: str
    pair: bool
    split: str | None = "train"
    settings: Settings = field(default_factory=dict)
    random: bool = False
    examples: bool = False
    """Whether it scores examples, averaged over models, instead."""
    as_trained: bool = False
    """Whether it is measured on the share of training samples, and with the labels, that members were trained on."""


HESSIAN = {"samples": 1000, "eigenvalue_tolerance": 1e-3, "trace_tolerance": 0.05, "steps": 40, "probes": 100}
ENDS = {"samples": 1000, "eigenvalue_tolerance": 1e-3, "steps": 100}
TOP = {"samples": 1000, "eigenvalue_tolerance": 1e-3, "steps": 80, "count": 5}
TRACES = {"samples": 1000, "trace_tolerance": 0.05, "probes": 300, "sketch": 15}
DENSITY = {"samples": 1000, "steps": 40, "probes": 5, "points": 41}
LOGITS = {"samples": 1280, "batch": 128}
CURVE = {"epochs": 20, "batch_size": 128, "learning_rate": 0.01, "points": 21, "runs": 4, "draws": 200}
CALIBRATION = {"samples": 10_000, "bins": 15, "draws": 100}
COLLAPSE = {"samples": 10_000, "folds": 10}
SURFACE: dict[str, Setting] = {
    "samples": 1000,
    "direction": "random",
    "normalisation": "filter",
    "span": 1.0,
    "points": 21,
    "batch_size": 128,
    "steps": 40,
}
SQUARE: dict[str, Setting] = SURFACE | {"points": 11}

DIRECTIONS = ("random", "adam", "hessian")
NORMALISATIONS = ("none", "weight", "layer", "model", "filter")
CHOICES = {"direction": DIRECTIONS, "normalisation": NORMALISATIONS}
FEWEST = {"points": 2, "samples": 16, "batch": 4, "folds": 2, "probes": 2, "epoch": -1}
"""The least value of a whole-numbered setting, where that is not 1."""

CALIBRATED = (*("nll", "brier", "ece", "ece_equal_mass", "ece_classwise", "ece_debiased", "squared_calibration_error"),)
"""Measures of calibration; each also after temperature scaling, as `scaled_...`."""
COLLAPSED = ("nc1", "nc2_norms", "nc2_angles", "nc3", "nc4")
LEARNING_CURVE = (
    *("learning_curve_area", "learning_curve_final", "learning_curve_best_epoch", "learning_curve_half_time"),
    *("learning_curve_slope", "learning_curve_roughness"),
)


def _curvature() -> Iterable[Metric]:
    for name in ("hessian_trace", "hessian_top_eigenvalue", "layer_hessian_trace", "layer_hessian_top_eigenvalue"):
        yield Metric(name, pair=False, settings=HESSIAN, random=True, as_trained=True)
    for name in ("hessian_smallest_eigenvalue", "extreme_ratio", "layer_hessian_smallest_eigenvalue"):
        yield Metric(name, pair=False, settings=ENDS, random=True, as_trained=True)
    yield Metric("hessian_eigenvalue", pair=False, settings=TOP, random=True, as_trained=True)
    for name in ("hessian_trace_hutchinson", "hessian_trace_hutch_plus_plus"):
        yield Metric(name, pair=False, settings=TRACES, random=True, as_trained=True)
    for name in ("negative_share", "spectral_density"):
        yield Metric(name, pair=False, settings=DENSITY, random=True, as_trained=True)


def _other_single() -> Iterable[Metric]:
    for name in ("loss", "error"):
        yield Metric(name, pair=False, as_trained=True)
    for name in ("generalisation_gap", "loss_gap"):
        yield Metric(name, pair=False, split="test", as_trained=True)
    for name in (*CALIBRATED, *(f"scaled_{name}" for name in CALIBRATED)):
        yield Metric(name, pair=False, split="test", settings=CALIBRATION, random=True)
    yield Metric("temperature", pair=False, split="validation", settings=CALIBRATION, random=True)
    for name in COLLAPSED:
        yield Metric(name, pair=False, settings=COLLAPSE, random=True, as_trained=True)
    for name in LEARNING_CURVE:
        yield Metric(name, pair=False)
    for name in ("el2n", "grand"):
        yield Metric(name, pair=False, settings={"epoch": -1}, examples=True)
    yield Metric("loss_line", pair=False, settings=SURFACE, random=True, as_trained=True)
    yield Metric("loss_surface", pair=False, settings=SQUARE, random=True, as_trained=True)


def _of_pairs() -> Iterable[Metric]:
    for name, estimator in (("cka", "unbiased"), ("biased_cka", "biased")):
        yield Metric(name, pair=True, settings=LOGITS | {"features": "logits", "estimator": estimator}, random=True)
        given = LOGITS | {"features": "layers", "estimator": estimator}
        yield Metric(f"layer_{name}", pair=True, settings=given, random=True)
    for name in ("disagreement", "jensen_shannon"):
        yield Metric(name, pair=True, settings=LOGITS, random=True)
    for name in ("l2_distance", "cosine_distance"):
        yield Metric(name, pair=True, split=None)
        yield Metric(f"aligned_{name}", pair=True, split=None, settings={"orders": 3})
    for name in ("mode_connectivity", "curve_peak", "curve_error", "curve_loss"):
        yield Metric(name, pair=True, settings=CURVE, random=True, as_trained=True)
    for name in ("linear_barrier", "line_error", "line_loss"):
        yield Metric(name, pair=True, settings={"points": 21, "draws": 100}, random=True, as_trained=True)


METRICS = {metric.name: metric for metric in (*_other_single(), *_curvature(), *_of_pairs())}

PHASE_METRICS = ("loss", "error", "hessian_trace", "hessian_top_eigenvalue", "cka", "mode_connectivity")
"""What the rules of phases ask for."""


def metric_named(name: str) -> Metric:
    """Look a metric up.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in METRICS:
        raise UsageError(f"metric {name!r}: {expected_one_of(name, METRICS)}")
    return METRICS[name]


def with_settings(metric: Metric, given: Settings) -> Metric:
    """A metric with other settings, those that it has; the others it does not mind."""
    return replace(metric, settings={**metric.settings, **{n: v for n, v in given.items() if n in metric.settings}})


def checked_settings(metrics: Iterable[Metric], given: Mapping[str, Setting]) -> dict[str, Setting]:
    """Settings in the types that metrics expect.

    Raises:
        UsageError: None of the metrics has such a setting, or the value is not possible.
    """
    known = {name: value for metric in metrics for name, value in metric.settings.items() if name not in ("features",)}
    return {name: _checked(name, value, known) for name, value in given.items()}


def _checked(name: str, value: Setting, known: Mapping[str, Setting]) -> Setting:
    if name not in known or name == "estimator":
        names = [other for other in known if other != "estimator"]
        says = expected_one_of(name, names) if names else "these metrics have none"
        raise UsageError(f"setting {name!r}: {says}")
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UsageError(f"{name} = {value!r}: {expected_one_of(str(value), CHOICES[name])}")
        return value
    kind: type[int] | type[float] = int if isinstance(known[name], int) else float
    try:
        number = float(kind(value))
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise UsageError(f"{name} = {value!r}: expected {wanted}, such as {known[name]}") from None
    least = FEWEST.get(name, 1) if kind is int else 0
    if not least <= number < float("inf") or (kind is float and number == 0):
        raise UsageError(f"{name} = {value!r}: expected " + (f"{least} or more" if kind is int else "more than 0"))
    return kind(number)
