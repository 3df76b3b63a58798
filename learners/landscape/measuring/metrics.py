"""The metrics by name: whether they are of one model or of two, and what a measurement of them depends on."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """A metric: of one model or of a pair, on which split, and its settings."""

    name: str
    pair: bool
    split: str | None = "train"
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    random: bool = False


HESSIAN = {"eigenvalue_tolerance": 1e-3, "trace_tolerance": 0.05, "steps": 40, "probes": 100}
CURVE = {"epochs": 20, "batch_size": 128, "learning_rate": 0.01, "points": 21}

METRICS = {
    metric.name: metric
    for metric in (
        Metric("loss", pair=False),
        Metric("error", pair=False),
        Metric("generalisation_gap", pair=False, split="test"),
        Metric("hessian_trace", pair=False, settings=HESSIAN, random=True),
        Metric("hessian_top_eigenvalue", pair=False, settings=HESSIAN, random=True),
        Metric("hessian_smallest_eigenvalue", pair=False, settings=HESSIAN, random=True),
        Metric("extreme_ratio", pair=False, settings=HESSIAN, random=True),
        Metric("cka", pair=True, settings={"features": "logits", "estimator": "unbiased", "batch": 128}),
        Metric("biased_cka", pair=True, settings={"features": "logits", "estimator": "biased", "batch": 128}),
        Metric("disagreement", pair=True),
        Metric("jensen_shannon", pair=True),
        Metric("l2_distance", pair=True, split=None),
        Metric("cosine_distance", pair=True, split=None),
        Metric("mode_connectivity", pair=True, settings=CURVE, random=True),
        Metric("curve_peak", pair=True, settings=CURVE, random=True),
        Metric("linear_barrier", pair=True, settings={"points": 21}),
    )
}

PHASE_METRICS = ("loss", "error", "hessian_trace", "hessian_top_eigenvalue", "cka", "mode_connectivity")
"""What the rules of phases ask for."""
